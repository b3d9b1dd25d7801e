//! The calls of the service Executions.

use futures::future::BoxFuture;

use crate::ApiError;
use crate::client::{Client, Transport, message_limit};
use crate::v1::executions_client::ExecutionsClient;
use crate::v1::{
    ClearExecutionsRequest, Execution, GetExecutionRequest, ListExecutionsRequest, ListExecutionsResponse,
};

impl Client {
    fn executions(&self) -> ExecutionsClient<Transport> {
        ExecutionsClient::with_interceptor(self.channel.clone(), self.token.clone())
            .max_decoding_message_size(message_limit())
    }

    /// One page of executions, newest first.
    pub fn list_executions(
        &self,
        request: ListExecutionsRequest,
    ) -> BoxFuture<'_, Result<ListExecutionsResponse, ApiError>> {
        Box::pin(
            async move { self.bounded("list executions", self.limits.call, self.executions().list(request)).await },
        )
    }

    /// An execution with its values.
    pub fn execution(&self, request: GetExecutionRequest) -> BoxFuture<'_, Result<Execution, ApiError>> {
        Box::pin(async move { self.bounded("get execution", self.limits.call, self.executions().get(request)).await })
    }

    /// Forgets all executions.
    pub fn clear_executions(&self, request: ClearExecutionsRequest) -> BoxFuture<'_, Result<(), ApiError>> {
        Box::pin(async move {
            self.bounded("clear executions", self.limits.call, self.executions().clear(request)).await?;
            Ok(())
        })
    }
}
