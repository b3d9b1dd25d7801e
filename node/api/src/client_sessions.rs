//! The calls of the service Sessions.

use crate::ApiError;
use crate::client::{Client, Transport, message_limit};
use crate::v1::sessions_client::SessionsClient;
use crate::v1::{
    CreateSessionRequest, DeleteSessionRequest, GetSessionRequest, ListSessionsRequest, ListSessionsResponse, Session,
    SessionHistoryRequest, SessionVersion, SessionWritten, UpdateSessionRequest,
};

impl Client {
    fn sessions(&self) -> SessionsClient<Transport> {
        SessionsClient::with_interceptor(self.channel.clone(), self.token.clone())
            .max_decoding_message_size(message_limit())
    }

    /// A new session.
    pub async fn create_session(&self, request: CreateSessionRequest) -> Result<SessionWritten, ApiError> {
        self.bounded("create session", self.limits.call, self.sessions().create(request)).await
    }

    /// A session with its data.
    pub async fn session(&self, request: GetSessionRequest) -> Result<Session, ApiError> {
        self.bounded("get session", self.limits.call, self.sessions().get(request)).await
    }

    /// A session's next version.
    pub async fn update_session(&self, request: UpdateSessionRequest) -> Result<SessionWritten, ApiError> {
        self.bounded("update session", self.limits.call, self.sessions().update(request)).await
    }

    /// Removes a session with its history.
    pub async fn delete_session(&self, request: DeleteSessionRequest) -> Result<(), ApiError> {
        self.bounded("delete session", self.limits.call, self.sessions().delete(request)).await?;
        Ok(())
    }

    /// One page of sessions.
    pub async fn list_sessions(&self, request: ListSessionsRequest) -> Result<ListSessionsResponse, ApiError> {
        self.bounded("list sessions", self.limits.call, self.sessions().list(request)).await
    }

    /// The versions that are kept, newest first.
    pub async fn session_history(&self, request: SessionHistoryRequest) -> Result<Vec<SessionVersion>, ApiError> {
        Ok(self.bounded("session history", self.limits.call, self.sessions().history(request)).await?.items)
    }
}
