//! The calls of the service Admin.

use tonic::Streaming;

use crate::ApiError;
use crate::client::{Client, Transport, message_limit};
use crate::v1::admin_client::AdminClient;
use crate::v1::{
    AuditRequest, AuditResponse, CreateTokenRequest, CreateTokenResponse, Freshness, ListTokensRequest,
    RevokeTokenRequest, RevokeTokenResponse, SaveSnapshotRequest, SnapshotChunk, StatusRequest, StatusResponse,
    StopRequest, Token, Worker, WorkersRequest,
};
use futures::future::BoxFuture;

impl Client {
    fn admin(&self) -> AdminClient<Transport> {
        AdminClient::with_interceptor(self.channel.clone(), self.token.clone())
            .max_decoding_message_size(message_limit())
    }

    /// What the node is and does.
    pub fn status(&self) -> BoxFuture<'_, Result<StatusResponse, ApiError>> {
        Box::pin(async move { self.bounded("status", self.limits.call, self.admin().status(StatusRequest {})).await })
    }

    /// Stops the node; refused while runs execute unless forced.
    pub fn stop(&self, force: bool) -> BoxFuture<'_, Result<(), ApiError>> {
        Box::pin(async move {
            self.bounded("stop", self.limits.call, self.admin().stop(StopRequest { force })).await?;
            Ok(())
        })
    }

    /// The worker processes of the node.
    pub fn workers(&self) -> BoxFuture<'_, Result<Vec<Worker>, ApiError>> {
        Box::pin(async move {
            let request = WorkersRequest {};
            let answer = self.bounded("workers", self.limits.call, self.admin().workers(request)).await?;
            Ok(answer.items)
        })
    }

    /// A new token; its secret is in the answer, and nowhere else.
    pub fn create_token(&self, request: CreateTokenRequest) -> BoxFuture<'_, Result<CreateTokenResponse, ApiError>> {
        Box::pin(
            async move { self.bounded("create token", self.limits.call, self.admin().create_token(request)).await },
        )
    }

    /// All tokens, revoked ones included.
    pub fn tokens(&self, freshness: Freshness) -> BoxFuture<'_, Result<Vec<Token>, ApiError>> {
        Box::pin(async move {
            let request = ListTokensRequest { freshness: freshness.into() };
            Ok(self.bounded("list tokens", self.limits.call, self.admin().list_tokens(request)).await?.items)
        })
    }

    /// A token opens nothing any more.
    pub fn revoke_token(&self, request: RevokeTokenRequest) -> BoxFuture<'_, Result<RevokeTokenResponse, ApiError>> {
        Box::pin(
            async move { self.bounded("revoke token", self.limits.call, self.admin().revoke_token(request)).await },
        )
    }

    /// Who changed what, newest first.
    pub fn audit(&self, limit: u32, freshness: Freshness) -> BoxFuture<'_, Result<AuditResponse, ApiError>> {
        Box::pin(async move {
            let request = AuditRequest { limit, freshness: freshness.into() };
            self.bounded("audit", self.limits.call, self.admin().audit(request)).await
        })
    }

    /// The state of the whole cluster with its blobs, as a file's bytes. The first message takes as long as the node needs to
    /// fix the state and to fetch the blobs that it lacks.
    pub async fn save_snapshot(&self, freshness: Freshness) -> Result<Streaming<SnapshotChunk>, ApiError> {
        let request = SaveSnapshotRequest { freshness: freshness.into() };
        self.bounded("save snapshot", self.limits.load, self.admin().save_snapshot(request)).await
    }
}
