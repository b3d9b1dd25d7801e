//! The calls of the service Pools.

use std::time::Duration;

use tonic::Streaming;
use tonic::codegen::tokio_stream::Stream;

use crate::ApiError;
use crate::client::{Client, Transport, message_limit};
use crate::v1::pools_client::PoolsClient;
use crate::v1::{
    CallPoolRequest, CallPoolResponse, DrainWorkerRequest, ListWorkersRequest, OpenPoolRequest, PoolStats,
    PoolStatsRequest, PoolWorker, RestartWorkerRequest,
};

impl Client {
    fn pools(&self) -> PoolsClient<Transport> {
        PoolsClient::with_interceptor(self.channel.clone(), self.token.clone())
            .max_decoding_message_size(message_limit())
            .max_encoding_message_size(message_limit())
    }

    /// The id of a class's pool for this caller.
    pub async fn open_pool(&self, request: OpenPoolRequest) -> Result<String, ApiError> {
        Ok(self.bounded("open pool", self.limits.call, self.pools().open(request)).await?.pool_id)
    }

    /// One call; `limit` bounds the wait for the whole of it.
    pub async fn call_pool(&self, request: CallPoolRequest, limit: Duration) -> Result<CallPoolResponse, ApiError> {
        self.bounded("call", limit, self.pools().call(request)).await
    }

    /// Many calls over one stream.
    pub async fn call_pool_stream(
        &self,
        requests: impl Stream<Item = CallPoolRequest> + Send + 'static,
    ) -> Result<Streaming<CallPoolResponse>, ApiError> {
        self.bounded("calls", self.limits.call, self.pools().calls(requests)).await
    }

    /// How the pools are; empty: all of them.
    pub async fn pool_stats(&self, pool: &str) -> Result<Vec<PoolStats>, ApiError> {
        let request = PoolStatsRequest { pool: pool.to_owned() };
        Ok(self.bounded("pool stats", self.limits.call, self.pools().stats(request)).await?.items)
    }

    /// The Python processes of the node.
    pub async fn list_workers(&self) -> Result<Vec<PoolWorker>, ApiError> {
        let request = ListWorkersRequest {};
        Ok(self.bounded("list workers", self.limits.call, self.pools().list_workers(request)).await?.items)
    }

    /// The worker finishes what it has and ends.
    pub async fn drain_worker(&self, worker_id: &str) -> Result<PoolWorker, ApiError> {
        let request = DrainWorkerRequest { worker_id: worker_id.to_owned() };
        self.bounded("drain worker", self.limits.call, self.pools().drain_worker(request)).await
    }

    /// The worker is replaced: after what it has, or at once.
    pub async fn restart_worker(&self, worker_id: &str, force: bool) -> Result<PoolWorker, ApiError> {
        let request = RestartWorkerRequest { worker_id: worker_id.to_owned(), force };
        self.bounded("restart worker", self.limits.call, self.pools().restart_worker(request)).await
    }
}
