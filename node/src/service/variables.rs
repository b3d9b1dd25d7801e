//! The service Variables.

use std::sync::Arc;

use dspex_api::v1::variables_server::Variables;
use dspex_api::v1::{
    self, DeleteVariableRequest, DeleteVariableResponse, GetVariableRequest, ListVariablesRequest,
    ListVariablesResponse, SetVariableRequest, VariableHistoryRequest, VariableHistoryResponse, VariableWritten,
};
use dspex_api::{ApiError, reason};
use dspex_model::{Command, Name, Outcome, State, Variable, VariableVersion, find_secret};
use tonic::{Request, Response, Status};

use super::{Node, errors, json, pages, translate};

pub(crate) struct VariablesService {
    node: Arc<Node>,
}

impl VariablesService {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

fn not_found(name: &Name) -> ApiError {
    ApiError::not_found(reason::VARIABLE_NOT_FOUND, format!("there is no variable {name}"))
}

fn held<'a>(state: &'a State, name: &Name) -> Result<&'a Variable, ApiError> {
    state.variable(name).ok_or_else(|| not_found(name))
}

/// The log does not repeat what the variable is called.
fn named(error: ApiError, name: &Name) -> ApiError {
    if error.reason == reason::VARIABLE_NOT_FOUND { not_found(name) } else { error }
}

/// What cannot be read back, or is a secret, must not enter the log.
pub(super) fn checked(name: &str, value: &str) -> Result<(), ApiError> {
    json::checked(&format!("the value of {name:?}"), value)?;
    let Some(place) = find_secret(name, value) else { return Ok(()) };
    let message = format!(
        "{place} is a secret, and would be stored on every node: leave it out, and set an environment variable where the workers start"
    );
    Err(ApiError::invalid(reason::SECRET_FOUND, message))
}

fn shown(name: &Name, held: &Variable, (version, kept): (u64, &VariableVersion)) -> v1::Variable {
    v1::Variable {
        name: name.to_string(),
        version,
        newest_version: held.info.version,
        value: kept.value.clone(),
        created_ms: held.info.created_ms,
        written_ms: kept.written_ms,
        written_by: kept.written_by.clone(),
    }
}

#[tonic::async_trait]
impl Variables for VariablesService {
    async fn set(&self, request: Request<SetVariableRequest>) -> Result<Response<VariableWritten>, Status> {
        let (actor, request) = translate::actor(request);
        let SetVariableRequest { request_id, name, expected_version, value } = request;
        let name = translate::name(&name)?;
        checked(name.as_str(), &value)?;
        let command = Command::SetVariable { name: name.clone(), expected_version, value };
        match self.node.write(request_id, actor, command).await.map_err(|error| named(error, &name))? {
            Outcome::VariableWritten { version } => {
                Ok(Response::new(VariableWritten { name: name.to_string(), version }))
            }
            other => Err(errors::internal(format!("the log answered {other:?} to a variable's write"))),
        }
    }

    async fn get(&self, request: Request<GetVariableRequest>) -> Result<Response<v1::Variable>, Status> {
        let GetVariableRequest { name, version, freshness } = request.into_inner();
        let name = translate::name(&name)?;
        let read = |state: &State| {
            let held = held(state, &name)?;
            let newest = held.info.version;
            let number = version.unwrap_or(newest);
            let kept = held.version(number).ok_or_else(|| {
                let oldest = held.oldest_version().unwrap_or_default();
                let message = format!("variable {name} has the versions {oldest} to {newest}, not {number}");
                ApiError::not_found(reason::VARIABLE_VERSION_NOT_FOUND, message)
            })?;
            Ok::<_, ApiError>(shown(&name, held, (number, kept)))
        };
        Ok(Response::new(self.node.read(freshness, read).await??))
    }

    async fn delete(
        &self,
        request: Request<DeleteVariableRequest>,
    ) -> Result<Response<DeleteVariableResponse>, Status> {
        let (actor, request) = translate::actor(request);
        let DeleteVariableRequest { request_id, name, expected_version } = request;
        let name = translate::name(&name)?;
        let command = Command::DeleteVariable { name: name.clone(), expected_version };
        self.node.write(request_id, actor, command).await.map_err(|error| named(error, &name))?;
        Ok(Response::new(DeleteVariableResponse {}))
    }

    async fn list(&self, request: Request<ListVariablesRequest>) -> Result<Response<ListVariablesResponse>, Status> {
        let ListVariablesRequest { after, limit, prefix, freshness } = request.into_inner();
        let after = if after.is_empty() { None } else { Some(translate::name(&after)?) };
        let read = |state: &State| {
            // Names stand in the order of their bytes: those with the prefix stand together.
            let mut matching = state
                .variables_after(after.as_ref())
                .skip_while(|(name, _)| name.as_str() < prefix.as_str())
                .take_while(|(name, _)| name.as_str().starts_with(&prefix))
                .filter_map(|(name, held)| Some(shown(name, held, (held.info.version, held.newest()?))));
            let items = matching.by_ref().take(pages::limit(limit)).collect();
            let truncated = matching.next().is_some();
            ListVariablesResponse { items, total: state.variables_held() as u64, truncated }
        };
        Ok(Response::new(self.node.read(freshness, read).await?))
    }

    async fn history(
        &self,
        request: Request<VariableHistoryRequest>,
    ) -> Result<Response<VariableHistoryResponse>, Status> {
        let VariableHistoryRequest { name, freshness } = request.into_inner();
        let name = translate::name(&name)?;
        let read = |state: &State| {
            let held = held(state, &name)?;
            Ok::<_, ApiError>(held.versions().rev().map(|version| shown(&name, held, version)).collect())
        };
        Ok(Response::new(VariableHistoryResponse { items: self.node.read(freshness, read).await?? }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_refused_by_its_place_and_never_repeated() {
        for (name, value, place) in [
            ("openai_api_key", "\"sk-1\"", "openai_api_key is a secret"),
            ("settings", r#"{"headers": {"Authorization": "sk-1"}}"#, "settings.headers.Authorization is a secret"),
            ("base", r#""https://me:sk-1@host""#, "the password of the URL in base is a secret"),
        ] {
            let error = checked(name, value).expect_err(value);
            assert_eq!(error.reason, reason::SECRET_FOUND);
            assert!(error.message.starts_with(place) && !error.message.contains("sk-1"), "{}", error.message);
        }
        for (name, value) in [("max_tokens", "5"), ("tokenizer", "\"t5\""), ("keys", r#"["a"]"#), ("key", "\"k\"")] {
            assert_eq!(checked(name, value), Ok(()), "{name}");
        }
    }
}
