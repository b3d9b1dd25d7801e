//! The calls of the service Sessions.

use std::time::Duration;

use crate::ApiError;
use crate::client::{Client, Transport, message_limit};
use crate::v1::sessions_client::SessionsClient;
use crate::v1::{
    CreateSessionRequest, DeleteSessionRequest, ExecuteSessionRequest, ExecuteSessionResponse, GetSessionRequest,
    ListSessionsRequest, ListSessionsResponse, Session, SessionHistoryRequest, SessionStats, SessionStatsRequest,
    SessionVersion, SessionWritten, UpdateSessionRequest,
};
use futures::future::BoxFuture;

impl Client {
    fn sessions(&self) -> SessionsClient<Transport> {
        SessionsClient::with_interceptor(self.channel.clone(), self.token.clone())
            .max_decoding_message_size(message_limit())
            .max_encoding_message_size(message_limit())
    }

    /// A new session.
    pub fn create_session(&self, request: CreateSessionRequest) -> BoxFuture<'_, Result<SessionWritten, ApiError>> {
        Box::pin(async move { self.bounded("create session", self.limits.call, self.sessions().create(request)).await })
    }

    /// A session with its data.
    pub fn session(&self, request: GetSessionRequest) -> BoxFuture<'_, Result<Session, ApiError>> {
        Box::pin(async move { self.bounded("get session", self.limits.call, self.sessions().get(request)).await })
    }

    /// A session's next version.
    pub fn update_session(&self, request: UpdateSessionRequest) -> BoxFuture<'_, Result<SessionWritten, ApiError>> {
        Box::pin(async move { self.bounded("update session", self.limits.call, self.sessions().update(request)).await })
    }

    /// Removes a session with its history.
    pub fn delete_session(&self, request: DeleteSessionRequest) -> BoxFuture<'_, Result<(), ApiError>> {
        Box::pin(async move {
            self.bounded("delete session", self.limits.call, self.sessions().delete(request)).await?;
            Ok(())
        })
    }

    /// One page of sessions.
    pub fn list_sessions(&self, request: ListSessionsRequest) -> BoxFuture<'_, Result<ListSessionsResponse, ApiError>> {
        Box::pin(async move { self.bounded("list sessions", self.limits.call, self.sessions().list(request)).await })
    }

    /// How many sessions there are, and what they take.
    pub fn session_stats(&self, request: SessionStatsRequest) -> BoxFuture<'_, Result<SessionStats, ApiError>> {
        Box::pin(async move { self.bounded("session stats", self.limits.call, self.sessions().stats(request)).await })
    }

    /// A call in a session; `limit` bounds the wait for the whole of it.
    pub fn execute_session(
        &self,
        request: ExecuteSessionRequest,
        limit: Duration,
    ) -> BoxFuture<'_, Result<ExecuteSessionResponse, ApiError>> {
        Box::pin(async move { self.bounded("execute", limit, self.sessions().execute(request)).await })
    }

    /// The versions that are kept, newest first.
    pub fn session_history(
        &self,
        request: SessionHistoryRequest,
    ) -> BoxFuture<'_, Result<Vec<SessionVersion>, ApiError>> {
        Box::pin(async move {
            Ok(self.bounded("session history", self.limits.call, self.sessions().history(request)).await?.items)
        })
    }
}
