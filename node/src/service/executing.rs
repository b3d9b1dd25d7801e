//! Executing in a session: for callers, for peers that take this node for the session's home, and at peers.

use std::sync::Arc;
use std::time::Duration;

use dspex_actors::{AtHomeError, CallRequest, ExecuteError, ExecuteRequest, Executed, Remote, RemoteError, Sessions};
use dspex_api::v1::{ExecuteSessionRequest, ExecuteSessionResponse};
use dspex_api::{ApiError, Bytes, Code, Message, peer, reason, v1};
use dspex_consensus::Consensus;
use dspex_model::{NodeId, SessionHome};
use dspex_transport::{CallError as PeerError, Channel, Request, Requests, Serve, Session};
use futures::future::BoxFuture;
use uuid::Uuid;

use super::sessions::session_id;
use super::{Node, errors, json, pools, translate};

/// The method of the inference channel. Its number is on the wire.
const EXECUTE: u8 = 1;
/// Beyond what a call may wait and take: reading the session, writing it, starting a worker.
const GRACE: Duration = Duration::from_secs(45);
/// Where neither the call nor the pool says how long a call may wait and take.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

impl Node {
    pub(super) async fn execute_in_session(
        &self,
        actor: Option<String>,
        request: ExecuteSessionRequest,
    ) -> Result<ExecuteSessionResponse, ApiError> {
        let _call = self.activity.enter();
        if self.is_embedded && request.caller.is_none() {
            return Err(ApiError::invalid(reason::REQUEST_INVALID, "caller is missing"));
        }
        let request = asked(request, actor)?;
        json::checked_arguments(&request.call.arguments).await?;
        self.tree.sessions().execute(request).await.map(answer).map_err(refusal)
    }
}

fn asked(request: ExecuteSessionRequest, actor: Option<String>) -> Result<ExecuteRequest, ApiError> {
    let caller = request.caller.map(|caller| translate::caller(Some(caller))).transpose()?;
    if request.command.is_empty() {
        return Err(ApiError::invalid(reason::REQUEST_INVALID, "command is missing"));
    }
    Ok(ExecuteRequest {
        session: session_id(&request.session_id)?,
        request: translate::request_id(request.request_id)?,
        actor,
        call: CallRequest {
            command: request.command,
            arguments: request.arguments,
            queue_timeout: request.queue_timeout_ms.map(Duration::from_millis),
            execution_timeout: request.timeout_ms.map(Duration::from_millis),
            retries: request.retries,
            traceparent: (!request.traceparent.is_empty()).then_some(request.traceparent),
            session: None,
            program: None,
        },
        caller: caller.map(Arc::new),
    })
}

fn answer(executed: Executed) -> ExecuteSessionResponse {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    ExecuteSessionResponse {
        result_lost: executed.result.is_none(),
        result: executed.result.unwrap_or_default(),
        worker: executed.worker,
        node_id: executed.node.0,
        queued_us: micros(executed.queued),
        executed_us: micros(executed.executed),
        attempt: executed.attempt,
        version: executed.version,
        repeated: executed.is_repeated,
    }
}

fn refusal(error: ExecuteError) -> ApiError {
    match error {
        ExecuteError::Call(error) => pools::refusal(error),
        ExecuteError::Rejected(rejection) => errors::rejection(&rejection),
        ExecuteError::Read(error) => errors::read(&error),
        ExecuteError::Write(error) => errors::propose(&error),
        ExecuteError::Lost(why) => ApiError::new(
            Code::Unavailable,
            reason::OUTCOME_UNKNOWN,
            format!("the session's home was lost while it executed ({why}): repeat the call under the same request id"),
        ),
        ExecuteError::Homeless => ApiError::new(
            Code::Aborted,
            reason::SESSION_MOVED,
            "the session's home has changed several times meanwhile: try again",
        ),
        ExecuteError::Full(session) => ApiError::new(
            Code::ResourceExhausted,
            reason::POOL_FULL,
            format!(
                "too many calls wait for session {session}: they are executed one after the other; try again in a moment"
            ),
        ),
        ExecuteError::Remote(error) => match error.downcast_ref::<ApiError>() {
            Some(told) => told.clone(),
            None => ApiError::internal(error.to_string()),
        },
    }
}

/// Serves peers on the inference channel.
pub(crate) struct Inference {
    sessions: Sessions,
    consensus: Consensus,
}

impl Inference {
    pub(crate) fn new(sessions: Sessions, consensus: Consensus) -> Self {
        Self { sessions, consensus }
    }
}

impl Serve for Inference {
    fn serve(&self, session: Session, mut requests: Requests) {
        let (sessions, consensus) = (self.sessions.clone(), self.consensus.clone());
        tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                if consensus.is_fellow(&session) {
                    tokio::spawn(at_home(sessions.clone(), request));
                } else {
                    request.fail("this node and the one that asks do not belong to the same cluster").await;
                }
            }
        });
    }
}

async fn at_home(sessions: Sessions, request: Request) {
    use peer::v1::executed::Outcome;
    let asked = match (request.method, peer::v1::Execute::decode(request.body.clone())) {
        (EXECUTE, Ok(peer::v1::Execute { request: Some(asked), actor })) => asked_by_peer(asked, actor),
        (EXECUTE, _) => return request.fail("an execution that cannot be read").await,
        (other, _) => return request.fail(format!("method {other} is unknown here: start a newer dspex")).await,
    };
    let outcome = match asked {
        Err(error) => Outcome::Failed(pools::call_error(error)),
        Ok(asked) => match sessions.execute_at_home(asked).await {
            Ok(executed) => Outcome::Done(answer(executed)),
            Err(AtHomeError::Moved(home)) => Outcome::Moved(peer::v1::Moved { node: home.node.0, epoch: home.epoch }),
            Err(AtHomeError::Failed(error)) => Outcome::Failed(pools::call_error(refusal(error))),
        },
    };
    request.reply(Bytes::from(peer::v1::Executed { outcome: Some(outcome) }.encode_to_vec())).await;
}

/// A peer hands nothing of a caller over: its own callers are not this node's.
fn asked_by_peer(request: ExecuteSessionRequest, actor: Option<String>) -> Result<ExecuteRequest, ApiError> {
    asked(ExecuteSessionRequest { caller: None, ..request }, actor)
}

/// Asks other nodes.
#[derive(Debug)]
pub(crate) struct Homes {
    consensus: Consensus,
}

impl Homes {
    pub(crate) fn new(consensus: Consensus) -> Self {
        Self { consensus }
    }
}

impl Remote for Homes {
    fn execute<'a>(
        &'a self,
        node: NodeId,
        request: &'a ExecuteRequest,
    ) -> BoxFuture<'a, Result<Executed, RemoteError>> {
        Box::pin(async move {
            let Some(link) = self.consensus.link(node, Channel::Inference) else {
                return Err(RemoteError::Unreachable(format!("node {node} is no member any more")));
            };
            let body = peer::v1::Execute { request: Some(wire(request)), actor: request.actor.clone() };
            let limit = limit(&request.call);
            match link.call(EXECUTE, Bytes::from(body.encode_to_vec()), limit).await {
                Ok(reply) => told(&reply),
                Err(PeerError::Unreachable(why)) => Err(RemoteError::Unreachable(why)),
                Err(PeerError::Full) => Err(failed(ApiError::new(
                    Code::ResourceExhausted,
                    reason::POOL_FULL,
                    format!("node {node}, the session's home, has too many calls of this node: try again in a moment"),
                ))),
                Err(PeerError::TooLong { length, limit }) => Err(failed(ApiError::new(
                    Code::ResourceExhausted,
                    reason::TOO_LARGE,
                    format!("the call takes {length} bytes, and {limit} can be passed on to the session's home"),
                ))),
                Err(error @ (PeerError::Lost(_) | PeerError::TimedOut)) => Err(RemoteError::Lost(error.to_string())),
                Err(PeerError::Failed(why)) => Err(failed(ApiError::unavailable(reason::NODE_UNREACHABLE, why))),
            }
        })
    }
}

/// What the home itself allows is not known here: it ends the call, and this only the wait for a home that says nothing.
fn limit(call: &CallRequest) -> Duration {
    match (call.queue_timeout, call.execution_timeout) {
        (Some(queue), Some(execution)) => (queue + execution) * (1 + call.retries.unwrap_or(1)) + GRACE,
        _ => LONGEST,
    }
}

fn failed(error: ApiError) -> RemoteError {
    RemoteError::Failed(Arc::new(error))
}

fn wire(request: &ExecuteRequest) -> ExecuteSessionRequest {
    let ExecuteRequest { session, request: id, call, .. } = request;
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let text = |id| Uuid::from_u128(id).to_string();
    ExecuteSessionRequest {
        request_id: Some(v1::RequestId { client: text(id.client), request: text(id.request) }),
        session_id: session.to_string(),
        command: call.command.clone(),
        arguments: call.arguments.clone(),
        queue_timeout_ms: call.queue_timeout.map(millis),
        timeout_ms: call.execution_timeout.map(millis),
        retries: call.retries,
        traceparent: call.traceparent.clone().unwrap_or_default(),
        caller: None,
    }
}

fn told(reply: &Bytes) -> Result<Executed, RemoteError> {
    use peer::v1::executed::Outcome;
    let unreadable = || failed(ApiError::internal("the session's home gave an answer that cannot be read"));
    match peer::v1::Executed::decode(reply.clone()).map_err(|_| unreadable())?.outcome.ok_or_else(unreadable)? {
        Outcome::Done(done) => Ok(Executed {
            result: (!done.result_lost).then_some(done.result),
            worker: done.worker,
            node: NodeId(done.node_id),
            queued: Duration::from_micros(done.queued_us),
            executed: Duration::from_micros(done.executed_us),
            attempt: done.attempt,
            version: done.version,
            is_repeated: done.repeated,
        }),
        Outcome::Moved(moved) => Err(RemoteError::Moved(SessionHome { node: NodeId(moved.node), epoch: moved.epoch })),
        Outcome::Failed(v1::CallError { code, reason, message, metadata }) => {
            let error = ApiError::new(Code::from(code), reason, message);
            // A home that drains has not begun it: another node takes its place.
            if error.reason == reason::NODE_DRAINING {
                return Err(RemoteError::Unreachable(error.message));
            }
            // A home that is ending may have begun it.
            if error.reason == reason::NODE_STOPPING {
                return Err(RemoteError::Lost(error.message));
            }
            Err(failed(ApiError { metadata, ..error }))
        }
    }
}
