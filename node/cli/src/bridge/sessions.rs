//! Sessions for the program: reads, writes, and calls in them.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use dspex_api::v1::{
    self, CreateSessionRequest, DeleteSessionRequest, ExecuteSessionRequest, Freshness, GetSessionRequest,
    ListSessionsRequest, SessionHistoryRequest, SessionStatsRequest, UpdateSessionRequest,
};
use dspex_api::{ApiError, Client, reason};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::messages::{Caller, Failure};
use super::requests::{Bridge, caller};
use crate::command::calling::ANSWER_LIMIT;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What the program wants. Writes carry a request id that the program made, so that it may send them again.
#[derive(Debug, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub(super) enum Order {
    Create { request: RequestId, session: String, data: BTreeMap<String, String>, ttl_ms: Option<u64>, limit_ms: u64 },
    Get { session: String, version: Option<u64>, stale: bool },
    Update(Box<Update>),
    Delete { request: RequestId, session: String, version: Option<u64>, limit_ms: u64 },
    List { after: String, prefix: String, limit: u32, stale: bool },
    History { session: String, stale: bool },
    Stats { session: String, stale: bool },
    Execute(Box<Execute>),
}

#[derive(Debug, Deserialize)]
pub(super) struct Update {
    request: RequestId,
    session: String,
    version: Option<u64>,
    replace: bool,
    removed: Vec<String>,
    set: BTreeMap<String, String>,
    ttl_ms: Option<u64>,
    limit_ms: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Execute {
    request: RequestId,
    session: String,
    command: String,
    arguments: Bytes,
    queue_timeout_ms: Option<u64>,
    timeout_ms: Option<u64>,
    retries: Option<u32>,
    traceparent: Option<String>,
    /// Of an embedded node.
    caller: Option<Caller>,
    limit_ms: u64,
}

/// The client's id and the request's, two UUIDs.
#[derive(Debug, Deserialize)]
pub(super) struct RequestId(pub(super) String, pub(super) String);

impl From<RequestId> for Option<v1::RequestId> {
    fn from(RequestId(client, request): RequestId) -> Self {
        Some(v1::RequestId { client, request })
    }
}

/// What it is told.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Answer {
    Written { session: String, version: u64, expires_ms: Option<u64> },
    Session(Session),
    Deleted {},
    Sessions { items: Vec<Session>, total: u64, truncated: bool },
    Versions { items: Vec<Version> },
    Stats(Stats),
    Executed(Box<Executed>),
}

#[derive(Debug, Serialize)]
pub(super) struct Session {
    session: String,
    version: u64,
    data: BTreeMap<String, String>,
    created_ms: u64,
    updated_ms: u64,
    expires_ms: Option<u64>,
    ttl_ms: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(super) struct Stats {
    sessions: u64,
    versions: u64,
    bytes: u64,
    bytes_max: u64,
    programs: u64,
    homes: BTreeMap<u64, u64>,
}

#[derive(Debug, Serialize)]
pub(super) struct Version {
    version: u64,
    written_ms: u64,
    data: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Executed {
    result: Option<Bytes>,
    worker: String,
    node: u64,
    queued_us: u64,
    executed_us: u64,
    attempt: u32,
    version: Option<u64>,
    repeated: bool,
}

impl From<v1::Session> for Session {
    fn from(session: v1::Session) -> Self {
        let v1::Session { session_id, version, data, created_ms, updated_ms, expires_ms, ttl_ms } = session;
        Self { session: session_id, version, data, created_ms, updated_ms, expires_ms, ttl_ms }
    }
}

fn written(written: v1::SessionWritten) -> Answer {
    Answer::Written { session: written.session_id, version: written.version, expires_ms: written.expires_ms }
}

fn freshness(stale: bool) -> i32 {
    if stale { Freshness::Stale.into() } else { Freshness::Linearizable.into() }
}

pub(super) async fn perform(bridge: &Bridge, order: Order) -> Result<Answer, Failure> {
    let client = &bridge.client()?;
    Ok(match order {
        Order::Create { request, session: session_id, data, ttl_ms, limit_ms } => {
            let request = CreateSessionRequest { request_id: request.into(), session_id, data, ttl_ms };
            written(until_known(limit_ms, async || client.create_session(request.clone()).await).await?)
        }
        Order::Get { session: session_id, version, stale } => {
            let request = GetSessionRequest { session_id, freshness: freshness(stale), version };
            Answer::Session(client.session(request).await?.into())
        }
        Order::Update(update) => {
            let Update { request, session: session_id, version, replace, removed, set, ttl_ms, limit_ms } = *update;
            let request_id = request.into();
            let expected_version = version;
            let request =
                UpdateSessionRequest { request_id, session_id, expected_version, replace, removed, set, ttl_ms };
            written(until_known(limit_ms, async || client.update_session(request.clone()).await).await?)
        }
        Order::Delete { request, session: session_id, version: expected_version, limit_ms } => {
            let request = DeleteSessionRequest { request_id: request.into(), session_id, expected_version };
            until_known(limit_ms, async || client.delete_session(request.clone()).await).await?;
            Answer::Deleted {}
        }
        Order::List { after, prefix, limit, stale } => {
            let request = ListSessionsRequest { after, limit, prefix, freshness: freshness(stale) };
            let page = client.list_sessions(request).await?;
            let items = page.items.into_iter().map(Into::into).collect();
            Answer::Sessions { items, total: page.total, truncated: page.truncated }
        }
        Order::History { session: session_id, stale } => {
            let request = SessionHistoryRequest { session_id, freshness: freshness(stale) };
            let version = |v1::SessionVersion { version, written_ms, data }| Version { version, written_ms, data };
            Answer::Versions { items: client.session_history(request).await?.into_iter().map(version).collect() }
        }
        Order::Stats { session: session_id, stale } => {
            let request = SessionStatsRequest { session_id, freshness: freshness(stale) };
            let v1::SessionStats { sessions, versions, bytes, bytes_max, programs, homes } =
                client.session_stats(request).await?;
            Answer::Stats(Stats { sessions, versions, bytes, bytes_max, programs, homes })
        }
        Order::Execute(execute) => executed(bridge, *execute).await?,
    })
}

async fn executed(bridge: &Bridge, execute: Execute) -> Result<Answer, Failure> {
    let limit_ms = execute.limit_ms;
    let request = ExecuteSessionRequest {
        request_id: execute.request.into(),
        session_id: execute.session,
        command: execute.command,
        arguments: execute.arguments,
        queue_timeout_ms: execute.queue_timeout_ms,
        timeout_ms: execute.timeout_ms,
        retries: execute.retries,
        traceparent: execute.traceparent.unwrap_or_default(),
        caller: execute.caller.map(caller),
    };
    // Under the same request id: where the home has executed it before, that is its answer.
    let execute = async |client: Client| {
        until_known(limit_ms, async || client.execute_session(request.clone(), ANSWER_LIMIT).await).await
    };
    let done = bridge.begin_once(execute).await?;
    Ok(Answer::Executed(Box::new(Executed {
        result: (!done.result_lost).then_some(done.result),
        worker: done.worker,
        node: done.node_id,
        queued_us: done.queued_us,
        executed_us: done.executed_us,
        attempt: done.attempt,
        version: done.version,
        repeated: done.repeated,
    })))
}

/// Sends a write, and again under the same request id while nobody can say whether it was executed, or nobody leads, for so long.
async fn until_known<T>(limit_ms: u64, write: impl AsyncFn() -> Result<T, ApiError>) -> Result<T, ApiError> {
    let end = Instant::now() + Duration::from_millis(limit_ms);
    let mut pause = FIRST_PAUSE;
    let mut unknown = None;
    loop {
        match write().await {
            Err(error) if passes(&error) && Instant::now() + pause < end => {
                unknown = (error.reason == reason::OUTCOME_UNKNOWN).then_some(error).or(unknown);
            }
            // It did not execute this one, and nobody knows of the one before.
            Err(error) if error.reason == reason::NODE_DRAINING => return Err(unknown.unwrap_or(error)),
            answer => return answer,
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn passes(error: &ApiError) -> bool {
    matches!(error.reason.as_ref(), reason::OUTCOME_UNKNOWN | reason::NO_LEADER | reason::SESSION_MOVED)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_refusal_after_an_attempt_of_which_nobody_knows_does_not_say_that_nothing_was_executed() {
        let refused = || ApiError::precondition(reason::NODE_DRAINING, "it drains");
        let answers = RefCell::new(vec![refused(), ApiError::precondition(reason::OUTCOME_UNKNOWN, "it was cut off")]);
        let write = async || Err::<(), _>(answers.borrow_mut().pop().expect("asked twice"));
        let error = until_known(60_000, write).await.expect_err("refused");
        assert_eq!(error.reason, reason::OUTCOME_UNKNOWN);
        let error = until_known(60_000, async || Err::<(), _>(refused())).await.expect_err("refused");
        assert_eq!(error.reason, reason::NODE_DRAINING, "nobody had executed anything");
    }
}
