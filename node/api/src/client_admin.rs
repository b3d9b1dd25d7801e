//! The calls of the service Admin.

use crate::ApiError;
use crate::client::{Client, Transport, bounded, message_limit};
use crate::v1::admin_client::AdminClient;
use crate::v1::{StatusRequest, StatusResponse, StopRequest, Worker, WorkersRequest};

impl Client {
    fn admin(&self) -> AdminClient<Transport> {
        AdminClient::with_interceptor(self.channel.clone(), self.token.clone())
            .max_decoding_message_size(message_limit())
    }

    /// What the node is and does.
    pub async fn status(&self) -> Result<StatusResponse, ApiError> {
        bounded("status", self.limits.call, self.admin().status(StatusRequest {})).await
    }

    /// Stops the node; refused while runs execute unless forced.
    pub async fn stop(&self, force: bool) -> Result<(), ApiError> {
        bounded("stop", self.limits.call, self.admin().stop(StopRequest { force })).await?;
        Ok(())
    }

    /// The worker processes of the node.
    pub async fn workers(&self) -> Result<Vec<Worker>, ApiError> {
        let request = WorkersRequest {};
        let answer = bounded("workers", self.limits.call, self.admin().workers(request)).await?;
        Ok(answer.items)
    }
}
