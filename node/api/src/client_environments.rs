//! The calls of the service Environments.

use std::time::Duration;

use futures::future::BoxFuture;

use crate::ApiError;
use crate::client::{Client, Transport, message_limit};
use crate::v1::environments_client::EnvironmentsClient;
use crate::v1::{Environment, GetEnvironmentRequest, ListEnvironmentsRequest};

/// Each environment is asked what it has, by a Python process of its own.
const LIMIT: Duration = Duration::from_secs(150);

impl Client {
    fn environments_client(&self) -> EnvironmentsClient<Transport> {
        EnvironmentsClient::with_interceptor(self.channel.clone(), self.token.clone())
            .max_decoding_message_size(message_limit())
    }

    /// The environments of the node, without their distributions.
    pub fn environments(&self) -> BoxFuture<'_, Result<Vec<Environment>, ApiError>> {
        Box::pin(async move {
            let request = ListEnvironmentsRequest {};
            Ok(self.bounded("list environments", LIMIT, self.environments_client().list(request)).await?.items)
        })
    }

    /// One environment, with all that is installed there.
    pub fn environment<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Environment, ApiError>> {
        Box::pin(async move {
            let request = GetEnvironmentRequest { name: name.to_owned() };
            self.bounded("show environment", LIMIT, self.environments_client().get(request)).await
        })
    }
}
