//! The service Sessions.

use std::collections::BTreeMap;
use std::sync::Arc;

use dspex_api::v1::sessions_server::Sessions;
use dspex_api::v1::{
    self, CreateSessionRequest, DeleteSessionRequest, DeleteSessionResponse, ExecuteSessionRequest,
    ExecuteSessionResponse, GetSessionRequest, ListSessionsRequest, ListSessionsResponse, SessionHistoryRequest,
    SessionHistoryResponse, SessionStatsRequest, SessionWritten, UpdateSessionRequest,
};
use dspex_api::{ApiError, reason};
use dspex_consensus::Freshness;
use dspex_model::{
    Command, InvalidSessionId, NewTtl, Outcome, SESSIONS_TOTAL_BYTES_MAX, Session, SessionChange, SessionData,
    SessionId, SessionStats, State,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{Node, errors, json, pages, translate};

pub(crate) struct SessionsService {
    node: Arc<Node>,
}

impl SessionsService {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

fn written(id: &SessionId, outcome: &Outcome) -> Result<Response<SessionWritten>, Status> {
    match *outcome {
        Outcome::SessionWritten { version, expires_ms } => {
            Ok(Response::new(SessionWritten { session_id: id.to_string(), version, expires_ms }))
        }
        _ => Err(errors::internal(format!("the log answered {outcome:?} to a session's write"))),
    }
}

pub(super) fn session_id(text: &str) -> Result<SessionId, ApiError> {
    SessionId::new(text)
        .map_err(|error| ApiError::invalid(reason::REQUEST_INVALID, format!("{}: {error}", dspex_model::quoted(text))))
}

/// Of a session that is to be created. One that is there may be called otherwise, by an older version.
fn new_session_id(text: &str) -> Result<SessionId, ApiError> {
    SessionId::chosen(text).map_err(|error| {
        let reason = match error {
            InvalidSessionId::Form => reason::REQUEST_INVALID,
            InvalidSessionId::Name(_) => reason::NAME_INVALID,
        };
        ApiError::invalid(reason, format!("{}: {error}", dspex_model::quoted(text)))
    })
}

pub(super) fn not_found(id: &SessionId) -> ApiError {
    let message = format!("session {id} does not exist; it may have expired");
    ApiError::not_found(reason::SESSION_NOT_FOUND, message)
}

/// Values come as JSON texts; what is none, or cannot be read back, must not enter the log.
pub(super) fn checked(values: BTreeMap<String, String>) -> Result<Vec<(String, String)>, ApiError> {
    for (name, value) in &values {
        if name.is_empty() {
            return Err(ApiError::invalid(reason::REQUEST_INVALID, "a value has no name"));
        }
        json::checked(&format!("the value of {}", dspex_model::quoted(name)), value)?;
    }
    Ok(values.into_iter().collect())
}

pub(super) fn values(data: &SessionData) -> BTreeMap<String, String> {
    data.values().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn session(id: &SessionId, held: &Session, with_data: bool) -> v1::Session {
    v1::Session {
        session_id: id.to_string(),
        version: held.info.version,
        data: held.data().filter(|_| with_data).map(values).unwrap_or_default(),
        created_ms: held.info.created_ms,
        updated_ms: held.info.updated_ms,
        expires_ms: held.info.expires_ms(),
        ttl_ms: held.info.ttl_ms,
    }
}

pub(super) fn freshness(wanted: i32) -> Result<Freshness, ApiError> {
    Ok(match v1::Freshness::try_from(wanted) {
        Ok(v1::Freshness::Linearizable) => Freshness::Linearizable,
        Ok(v1::Freshness::Lease) => Freshness::Lease,
        Ok(v1::Freshness::Stale) => Freshness::Stale,
        Err(_) => {
            return Err(ApiError::invalid(reason::REQUEST_INVALID, format!("freshness {wanted} is unknown here")));
        }
    })
}

impl Node {
    /// Reads the state as fresh as is asked for.
    pub(super) async fn read<R>(&self, wanted: i32, read: impl FnOnce(&State) -> R) -> Result<R, ApiError> {
        let freshness = freshness(wanted)?;
        self.consensus.read_at(freshness, read).await.map_err(|error| errors::read(&error))
    }
}

#[tonic::async_trait]
impl Sessions for SessionsService {
    async fn create(&self, request: Request<CreateSessionRequest>) -> Result<Response<SessionWritten>, Status> {
        let (actor, request) = translate::actor(request);
        let CreateSessionRequest { request_id, session_id: id, data, ttl_ms } = request;
        // Of the request, so that a repeated one names the same session.
        let drawn = |request| Uuid::from_u128(request).to_string();
        let id = if id.is_empty() { drawn(translate::request_id(request_id.clone())?.request) } else { id };
        let session = new_session_id(&id)?;
        if ttl_ms == Some(0) {
            let message = "ttl_ms must be more than 0; leave it out for a session without an end";
            return Err(ApiError::invalid(reason::REQUEST_INVALID, message).into());
        }
        let command = Command::CreateSession { session: session.clone(), ttl_ms, data: checked(data)? };
        let outcome = self.node.write(request_id, actor, command).await?;
        written(&session, &outcome)
    }

    async fn get(&self, request: Request<GetSessionRequest>) -> Result<Response<v1::Session>, Status> {
        let GetSessionRequest { session_id: id, freshness, version } = request.into_inner();
        let id = session_id(&id)?;
        let found = self
            .node
            .read(freshness, |state| {
                let held = state.session(&id).ok_or_else(|| not_found(&id))?;
                let Some(number) = version else { return Ok(session(&id, held, true)) };
                let kept = held.version(number).ok_or_else(|| {
                    let oldest = held.oldest_version().unwrap_or_default();
                    let message =
                        format!("session {id} has the versions {oldest} to {}, not {number}", held.info.version);
                    ApiError::not_found(reason::SESSION_VERSION_NOT_FOUND, message)
                })?;
                let data = values(&kept.data);
                let shown = session(&id, held, false);
                Ok::<_, ApiError>(v1::Session { version: number, data, updated_ms: kept.written_ms, ..shown })
            })
            .await?;
        Ok(Response::new(found?))
    }

    async fn update(&self, request: Request<UpdateSessionRequest>) -> Result<Response<SessionWritten>, Status> {
        let (actor, request) = translate::actor(request);
        let UpdateSessionRequest { request_id, session_id: id, expected_version, replace, removed, set, ttl_ms } =
            request;
        let session = session_id(&id)?;
        let command = Command::UpdateSession {
            session: session.clone(),
            expected_version,
            change: SessionChange { replace, removed, set: checked(set)? },
            ttl_ms: ttl_ms.map(|ttl| if ttl == 0 { NewTtl::Forever } else { NewTtl::For(ttl) }),
        };
        let outcome = self.node.write(request_id, actor, command).await?;
        written(&session, &outcome)
    }

    async fn delete(&self, request: Request<DeleteSessionRequest>) -> Result<Response<DeleteSessionResponse>, Status> {
        let (actor, request) = translate::actor(request);
        let DeleteSessionRequest { request_id, session_id: id, expected_version } = request;
        let command = Command::DeleteSession { session: session_id(&id)?, expected_version };
        self.node.write(request_id, actor, command).await?;
        Ok(Response::new(DeleteSessionResponse {}))
    }

    async fn execute(
        &self,
        request: Request<ExecuteSessionRequest>,
    ) -> Result<Response<ExecuteSessionResponse>, Status> {
        let (actor, request) = translate::actor(request);
        Ok(Response::new(self.node.execute_in_session(actor, request).await?))
    }

    async fn list(&self, request: Request<ListSessionsRequest>) -> Result<Response<ListSessionsResponse>, Status> {
        let ListSessionsRequest { after, limit, prefix, freshness } = request.into_inner();
        let limit = pages::limit(limit);
        // Ids stand in the order of their bytes: those with the prefix stand together.
        let after = if after.is_empty() { None } else { Some(session_id(&after)?) };
        let answer = self
            .node
            .read(freshness, |state| {
                let from = after.as_ref();
                let mut matching = state
                    .sessions_after(from)
                    .skip_while(|(id, _)| id.as_str() < prefix.as_str())
                    .take_while(|(id, _)| id.as_str().starts_with(&prefix));
                let items = matching.by_ref().take(limit).map(|(id, held)| session(id, held, false)).collect();
                let truncated = matching.next().is_some();
                ListSessionsResponse { items, total: state.sessions_held() as u64, truncated }
            })
            .await?;
        Ok(Response::new(answer))
    }

    async fn stats(&self, request: Request<SessionStatsRequest>) -> Result<Response<v1::SessionStats>, Status> {
        let SessionStatsRequest { session_id: id, freshness } = request.into_inner();
        let id = if id.is_empty() { None } else { Some(session_id(&id)?) };
        let stats = self.node.read(freshness, |state| state.session_stats(id.as_ref())).await?;
        let SessionStats { sessions, versions, bytes, programs, homes } = match (stats, id) {
            (Some(stats), _) => stats,
            (None, Some(id)) => return Err(not_found(&id).into()),
            (None, None) => return Err(errors::internal("all sessions have no count")),
        };
        let homes = homes.into_iter().map(|(node, count)| (node.0, count)).collect();
        let bytes_max = SESSIONS_TOTAL_BYTES_MAX;
        Ok(Response::new(v1::SessionStats { sessions, versions, bytes, bytes_max, programs, homes }))
    }

    async fn history(
        &self,
        request: Request<SessionHistoryRequest>,
    ) -> Result<Response<SessionHistoryResponse>, Status> {
        let SessionHistoryRequest { session_id: id, freshness } = request.into_inner();
        let id = session_id(&id)?;
        let items = self
            .node
            .read(freshness, |state| {
                let held = state.session(&id).ok_or_else(|| not_found(&id))?;
                let version = |(version, kept): (u64, &dspex_model::SessionVersion)| v1::SessionVersion {
                    version,
                    written_ms: kept.written_ms,
                    data: values(&kept.data),
                };
                let mut items: Vec<_> = held.versions().map(version).collect();
                items.reverse();
                Ok::<_, ApiError>(items)
            })
            .await?;
        Ok(Response::new(SessionHistoryResponse { items: items? }))
    }
}
