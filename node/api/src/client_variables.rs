//! The calls of the service Variables.

use crate::ApiError;
use crate::client::{Client, Transport, message_limit};
use crate::v1::variables_client::VariablesClient;
use crate::v1::{
    DeleteVariableRequest, GetVariableRequest, ListVariablesRequest, ListVariablesResponse, SetVariableRequest,
    Variable, VariableHistoryRequest, VariableWritten,
};
use futures::future::BoxFuture;

impl Client {
    fn variables(&self) -> VariablesClient<Transport> {
        VariablesClient::with_interceptor(self.channel.clone(), self.token.clone())
            .max_decoding_message_size(message_limit())
    }

    /// A variable, or its next version.
    pub fn set_variable(&self, request: SetVariableRequest) -> BoxFuture<'_, Result<VariableWritten, ApiError>> {
        Box::pin(async move { self.bounded("set variable", self.limits.call, self.variables().set(request)).await })
    }

    /// A variable with its value.
    pub fn variable(&self, request: GetVariableRequest) -> BoxFuture<'_, Result<Variable, ApiError>> {
        Box::pin(async move { self.bounded("get variable", self.limits.call, self.variables().get(request)).await })
    }

    /// Removes a variable with its history.
    pub fn delete_variable(&self, request: DeleteVariableRequest) -> BoxFuture<'_, Result<(), ApiError>> {
        Box::pin(async move {
            self.bounded("delete variable", self.limits.call, self.variables().delete(request)).await?;
            Ok(())
        })
    }

    /// One page of variables.
    pub fn list_variables(
        &self,
        request: ListVariablesRequest,
    ) -> BoxFuture<'_, Result<ListVariablesResponse, ApiError>> {
        Box::pin(async move { self.bounded("list variables", self.limits.call, self.variables().list(request)).await })
    }

    /// The versions that are kept, newest first.
    pub fn variable_history(&self, request: VariableHistoryRequest) -> BoxFuture<'_, Result<Vec<Variable>, ApiError>> {
        Box::pin(async move {
            Ok(self.bounded("variable history", self.limits.call, self.variables().history(request)).await?.items)
        })
    }
}
