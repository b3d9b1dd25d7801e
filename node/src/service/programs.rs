//! The service Programs.

mod stored;
mod translated;

use std::collections::BTreeMap;
use std::sync::Arc;

use dspex_api::v1::programs_server::Programs;
use dspex_api::v1::{
    self, DeleteProgramRequest, DeleteProgramResponse, GetProgramRequest, ListOptimizationsRequest,
    ListOptimizationsResponse, ListProgramsRequest, ListProgramsResponse, ProgramHistoryRequest,
    ProgramHistoryResponse, ProgramWritten, PutProgramRequest, RecordOptimizationRequest, RecordOptimizationResponse,
    SetProgramStatusRequest,
};
use dspex_api::{ApiError, reason};
use dspex_model::{
    Command, NewOptimization, NewProgramVersion, OPTIMIZER_TYPE_BYTES_MAX, OptimizationId, Outcome,
    PROGRAM_NOTE_BYTES_MAX, Program, ProgramId, ProgramKey, SessionChange, State,
};
use tonic::{Request, Response, Status};

use super::{Node, errors, json, pages, sessions, translate, variables};
use translated::Shown;

pub(crate) struct ProgramsService {
    node: Arc<Node>,
}

impl ProgramsService {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::invalid(reason::REQUEST_INVALID, message)
}

fn key(name: &str, session: &str) -> Result<ProgramKey, ApiError> {
    let session = if session.is_empty() { None } else { Some(sessions::session_id(session)?) };
    Ok(ProgramKey { session, name: translate::name(name)? })
}

fn not_found(key: &ProgramKey) -> ApiError {
    ApiError::not_found(reason::PROGRAM_UNKNOWN, format!("there is no program {key}"))
}

fn held<'a>(state: &'a State, key: &ProgramKey) -> Result<(ProgramId, &'a Program), ApiError> {
    state.program(key).ok_or_else(|| not_found(key))
}

fn written(key: &ProgramKey, outcome: &Outcome) -> Result<Response<ProgramWritten>, Status> {
    let Outcome::ProgramWritten { program, version } = *outcome else {
        return Err(errors::internal(format!("the log answered {outcome:?} to a program's write")));
    };
    Ok(Response::new(ProgramWritten {
        program_id: program.to_string(),
        name: key.name.to_string(),
        session_id: translated::session(key),
        version,
    }))
}

impl ProgramsService {
    /// The program that is asked for, as it stands in the state.
    async fn find(&self, request: GetProgramRequest) -> Result<Shown, ApiError> {
        let GetProgramRequest { name, session_id, or_global, program_id, version, freshness } = request;
        if program_id.is_empty() {
            let key = key(&name, &session_id)?;
            let found = move |state: &State| {
                let found =
                    if or_global { state.program_for(key.session.as_ref(), &key.name) } else { state.program(&key) };
                Shown::of(found.ok_or_else(|| not_found(&key))?, version)
            };
            return self.node.read(freshness, found).await?;
        }
        let id: ProgramId =
            program_id.parse().map_err(|error| invalid(format!("{}: {error}", dspex_model::quoted(&program_id))))?;
        let found = move |state: &State| {
            let missing =
                || ApiError::not_found(reason::PROGRAM_UNKNOWN, format!("there is no program with the id {id}"));
            Shown::of((id, state.program_by_id(id).ok_or_else(missing)?), version)
        };
        self.node.read(freshness, found).await?
    }
}

#[tonic::async_trait]
impl Programs for ProgramsService {
    async fn put(&self, request: Request<PutProgramRequest>) -> Result<Response<ProgramWritten>, Status> {
        let _call = self.node.activity.enter();
        let (actor, request) = translate::actor(request);
        let PutProgramRequest { request_id, name, session_id, expected_version, note, .. } = &request;
        let key = key(name, session_id)?;
        if note.len() > PROGRAM_NOTE_BYTES_MAX {
            let message = format!("the note has {} bytes, the limit is {PROGRAM_NOTE_BYTES_MAX}", note.len());
            return Err(ApiError::new(dspex_api::Code::ResourceExhausted, reason::TOO_LARGE, message).into());
        }
        // Of the request, so that a repeated one names the same program.
        let program = ProgramId(translate::request_id(request_id.clone())?.request);
        let definition = match &request.definition {
            Some(definition) => {
                let signature = stored::checked(definition, request.signature.as_deref()).await?;
                Some((self.node.store_definition(definition).await?, signature))
            }
            None if request.signature.is_some() => {
                return Err(invalid("signature comes with a definition: it says what that takes and gives").into());
            }
            None => None,
        };
        let (expected_version, note) = (*expected_version, note.clone());
        let PutProgramRequest { request_id, replace_variables, removed, set, .. } = request;
        let variables = SessionChange { replace: replace_variables, removed, set: checked_variables(set)? };
        let large = definition.as_ref().and_then(|(definition, _)| definition.blob());
        let new = NewProgramVersion { program, key: key.clone(), expected_version, definition, variables, note };
        let outcome = self.node.write(request_id, actor, Command::PutProgram(Box::new(new))).await;
        let outcome = outcome.map_err(|error| named(error, &key))?;
        if let Some(digest) = large {
            self.node.tree.unpin(&digest);
        }
        written(&key, &outcome)
    }

    async fn get(&self, request: Request<GetProgramRequest>) -> Result<Response<v1::Program>, Status> {
        let _call = self.node.activity.enter();
        let shown = self.find(request.into_inner()).await?;
        let definition = match shown.large {
            Some(digest) => self.node.load_definition(digest).await?,
            None => shown.program.definition.clone(),
        };
        Ok(Response::new(v1::Program { definition, ..shown.program }))
    }

    async fn delete(&self, request: Request<DeleteProgramRequest>) -> Result<Response<DeleteProgramResponse>, Status> {
        let (actor, request) = translate::actor(request);
        let DeleteProgramRequest { request_id, name, session_id, expected_version } = request;
        let key = key(&name, &session_id)?;
        let command = Command::DeleteProgram { key: key.clone(), expected_version };
        self.node.write(request_id, actor, command).await.map_err(|error| named(error, &key))?;
        Ok(Response::new(DeleteProgramResponse {}))
    }

    async fn list(&self, request: Request<ListProgramsRequest>) -> Result<Response<ListProgramsResponse>, Status> {
        let ListProgramsRequest { session_id, after, limit, prefix, status, freshness } = request.into_inner();
        let session = if session_id.is_empty() { None } else { Some(sessions::session_id(&session_id)?) };
        let after = if after.is_empty() { None } else { Some(translate::name(&after)?) };
        let status = translated::wanted_status(status)?;
        let answer = self.node.read(freshness, |state| {
            if let Some(session) = session.as_ref().filter(|session| state.session(session).is_none()) {
                return Err(sessions::not_found(session));
            }
            // Names stand in the order of their bytes: those with the prefix stand together.
            let mut matching = state
                .programs_after(session.as_ref(), after.as_ref())
                .skip_while(|(_, program)| program.info.key.name.as_str() < prefix.as_str())
                .take_while(|(_, program)| program.info.key.name.as_str().starts_with(&prefix))
                .filter(|(_, program)| status.is_none_or(|status| status == program.info.status));
            let items = matching.by_ref().take(pages::limit(limit)).map(translated::listed).collect();
            let truncated = matching.next().is_some();
            Ok(ListProgramsResponse { items, total: state.programs_held() as u64, truncated })
        });
        Ok(Response::new(answer.await??))
    }

    async fn history(
        &self,
        request: Request<ProgramHistoryRequest>,
    ) -> Result<Response<ProgramHistoryResponse>, Status> {
        let ProgramHistoryRequest { name, session_id, freshness } = request.into_inner();
        let key = key(&name, &session_id)?;
        let read = |state: &State| {
            let (_, program) = held(state, &key)?;
            Ok::<_, ApiError>(program.versions().rev().map(translated::version).collect())
        };
        Ok(Response::new(ProgramHistoryResponse { items: self.node.read(freshness, read).await?? }))
    }

    async fn set_status(&self, request: Request<SetProgramStatusRequest>) -> Result<Response<ProgramWritten>, Status> {
        let (actor, request) = translate::actor(request);
        let SetProgramStatusRequest { request_id, name, session_id, expected_version, status } = request;
        let key = key(&name, &session_id)?;
        let status = translated::wanted_status(status)?
            .ok_or_else(|| invalid("status is missing: draft, ready or deprecated"))?;
        let command = Command::SetProgramStatus { key: key.clone(), expected_version, status };
        let outcome = self.node.write(request_id, actor, command).await.map_err(|error| named(error, &key))?;
        written(&key, &outcome)
    }

    async fn record_optimization(
        &self,
        request: Request<RecordOptimizationRequest>,
    ) -> Result<Response<RecordOptimizationResponse>, Status> {
        let (actor, request) = translate::actor(request);
        let key = key(&request.name, &request.session_id)?;
        let id = OptimizationId(translate::request_id(request.request_id.clone())?.request);
        let new = optimization(&request, id, key.clone())?;
        let command = Command::RecordOptimization(Box::new(new));
        let outcome = self.node.write(request.request_id, actor, command).await.map_err(|error| named(error, &key))?;
        match outcome {
            Outcome::OptimizationRecorded { number } => {
                Ok(Response::new(RecordOptimizationResponse { optimization_id: id.to_string(), number }))
            }
            other => Err(errors::internal(format!("the log answered {other:?} to an optimization"))),
        }
    }

    async fn list_optimizations(
        &self,
        request: Request<ListOptimizationsRequest>,
    ) -> Result<Response<ListOptimizationsResponse>, Status> {
        let ListOptimizationsRequest { name, session_id, freshness } = request.into_inner();
        let key = key(&name, &session_id)?;
        let read = |state: &State| {
            let (id, program) = held(state, &key)?;
            let items = program.optimizations().rev().map(translated::optimization).collect();
            Ok::<_, ApiError>(ListOptimizationsResponse { program_id: id.to_string(), items })
        };
        Ok(Response::new(self.node.read(freshness, read).await??))
    }
}

fn optimization(
    request: &RecordOptimizationRequest,
    id: OptimizationId,
    key: ProgramKey,
) -> Result<NewOptimization, ApiError> {
    let optimizer = &request.optimizer_type;
    let is_short = (1..=OPTIMIZER_TYPE_BYTES_MAX).contains(&optimizer.len());
    if !is_short || optimizer.chars().any(char::is_control) {
        let message = format!(
            "optimizer_type has 1 to {OPTIMIZER_TYPE_BYTES_MAX} bytes of printable text, not {}",
            dspex_model::quoted(optimizer)
        );
        return Err(invalid(message));
    }
    for (field, text) in [("parameters", &request.parameters), ("performance_metrics", &request.performance_metrics)] {
        json::checked_object(field, text)?;
    }
    let training_data = match request.training_data_hash.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|error| invalid(format!("training_data_hash: {error}")))?),
    };
    Ok(NewOptimization {
        id,
        key,
        optimizer_type: optimizer.clone(),
        parameters: request.parameters.clone(),
        performance_metrics: request.performance_metrics.clone(),
        training_data,
        program_version: request.program_version,
    })
}

/// Those of a program are stored as those of everybody are.
fn checked_variables(set: BTreeMap<String, String>) -> Result<Vec<(String, String)>, ApiError> {
    set.iter().try_for_each(|(name, value)| variables::checked(name, value))?;
    sessions::checked(set)
}

/// The log does not repeat what the program is called.
fn named(error: ApiError, key: &ProgramKey) -> ApiError {
    match error.reason.as_ref() {
        reason::PROGRAM_UNKNOWN => not_found(key),
        reason::SESSION_NOT_FOUND => key.session.as_ref().map_or(error, sessions::not_found),
        _ => error,
    }
}
