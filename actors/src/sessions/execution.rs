//! One execution at a session's home: what the log says first, then the worker, then what the log makes of it.

use std::sync::Arc;

use bytes::Bytes;
use dspex_model::{
    Command, EXECUTED_BYTES_MAX, ExecutedWrite, InvalidJson, NodeId, Outcome, Rejection, SessionChange, SessionHome,
    State, check_json,
};
use dspex_python::protocol::{CallSession, ExampleFailure, SessionChanges};

use super::{AtHome, ExecuteError, ExecuteRequest, Executed};
use crate::context::NodeContext;
use crate::executions::CalledBy;
use crate::pool::{CallError, CallReply, CallRequest, Pool};
use crate::proposing::{By, propose};
use crate::stored::{Named, Stored};
use crate::values::as_json;

/// A session as it stands when it is executed in.
#[derive(Debug)]
pub(super) struct Prepared {
    epoch: u64,
    session: CallSession,
    program: Option<(Named, Stored)>,
}

/// Reads the session as everybody sees it. `Err`: there is nothing to execute, and this is the answer.
pub(super) async fn prepare(context: &Arc<NodeContext>, request: &ExecuteRequest) -> Result<Prepared, AtHome> {
    let own = context.parts.node;
    let named = Named::of(&request.call).await;
    let read = context.parts.consensus.read(|state| found(state, own, request, named)).await;
    read.unwrap_or_else(|error| Err(failed(ExecuteError::Read(error))))
}

fn found(state: &State, own: NodeId, request: &ExecuteRequest, named: Option<Named>) -> Result<Prepared, AtHome> {
    if let Some((outcome, result)) = state.executed(request.request) {
        return Err(repeated(own, outcome, result));
    }
    let Some(session) = state.session(&request.session) else {
        return Err(failed(ExecuteError::Rejected(Rejection::SessionNotFound)));
    };
    match session.home {
        Some(home) if home.node == own => {
            let data = session.data().map_or_else(|| Bytes::from_static(b"{}"), |data| Bytes::from(as_json(data)));
            let session = CallSession { id: request.session.to_string(), version: session.info.version, data };
            let program = named.and_then(|named| {
                let stored = named.find(state, Some(&request.session))?;
                Some((named, stored))
            });
            Ok(Prepared { epoch: home.epoch, session, program })
        }
        Some(home) => Err(AtHome::Moved(home)),
        // Made anew under the same name: whoever asked finds it without a home.
        None => Err(AtHome::Moved(SessionHome { node: own, epoch: 0 })),
    }
}

fn repeated(node: NodeId, outcome: Outcome, result: Option<&[u8]>) -> AtHome {
    match outcome {
        Outcome::SessionWritten { version, .. } => AtHome::Done(Box::new(Executed {
            result: result.map(Bytes::copy_from_slice),
            worker: String::new(),
            node,
            queued: std::time::Duration::ZERO,
            executed: std::time::Duration::ZERO,
            attempt: 1,
            version: Some(version),
            is_repeated: true,
        })),
        Outcome::Rejected(rejection) => failed(ExecuteError::Rejected(rejection)),
        other => failed(ExecuteError::Lost(format!("the request was used for something else: {other:?}"))),
    }
}

fn failed(error: ExecuteError) -> AtHome {
    AtHome::Failed(Box::new(error))
}

/// Has the worker execute it, and the log take what it has changed.
pub(super) async fn execute(
    context: &Arc<NodeContext>,
    pool: &Pool,
    request: ExecuteRequest,
    prepared: Prepared,
) -> AtHome {
    let Prepared { epoch, session, program } = prepared;
    let version = session.version;
    let call = CallRequest { session: Some(session), ..request.call.clone() };
    let call = match program {
        None => call,
        Some((named, stored)) => match named.complete(context, stored, call).await {
            Ok(call) => call,
            Err(error) => return failed(ExecuteError::Call(error)),
        },
    };
    // What is executed is recorded as it went, also where the log refuses what it has changed.
    let by = CalledBy { actor: request.actor.clone(), session: Some(request.session.clone()) };
    let reply = match pool.begin_recorded(call, by).await {
        Ok(reply) => reply,
        Err(error) => return failed(ExecuteError::Call(error)),
    };
    let node = context.parts.node;
    let CallReply { result, worker, queued, executed, attempt, changes, trace: _ } = reply;
    let given = result.clone();
    let done = |version| {
        AtHome::Done(Box::new(Executed {
            result: Some(given),
            worker,
            node,
            queued,
            executed,
            attempt,
            version,
            is_repeated: false,
        }))
    };
    let Some(SessionChanges { set, removed }) = changes else { return done(None) };
    if let Err(error) = readable(&set) {
        return failed(ExecuteError::Call(error));
    }
    let write = ExecutedWrite {
        session: request.session,
        epoch,
        version,
        change: SessionChange { replace: false, removed, set },
        result: (result.len() <= EXECUTED_BYTES_MAX).then(|| result.to_vec()),
    };
    let by = By { request: Some(request.request), actor: request.actor };
    match propose(&context.parts.consensus, by, &Command::WriteExecuted(Box::new(write))).await {
        Ok(Outcome::SessionWritten { version, .. }) => done(Some(version)),
        // Nothing of it counts: whoever has it now executes it again.
        Ok(Outcome::Rejected(Rejection::SessionMoved(home))) => AtHome::Moved(home),
        Ok(Outcome::Rejected(rejection)) => failed(ExecuteError::Rejected(rejection)),
        Ok(other) => failed(ExecuteError::Lost(format!("the log answered {other:?} to an execution"))),
        Err(error) => failed(ExecuteError::Write(error)),
    }
}

/// A worker is believed nothing: what it says of the session must be read by all that come after it.
fn readable(set: &[(String, String)]) -> Result<(), CallError> {
    let refused = |name: &str, error: InvalidJson| {
        CallError::Failed(ExampleFailure {
            exception: "SessionError".to_owned(),
            message: format!("the session's value {name:?} {error}; nothing of this call's changes is stored"),
            traceback: None,
            file: None,
            line: None,
        })
    };
    set.iter().try_for_each(|(name, value)| check_json(value).map_err(|error| refused(name, error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_worker_changes_must_be_readable() {
        let set = |value: &str| vec![("a".to_owned(), "1".to_owned()), ("b".to_owned(), value.to_owned())];
        assert!(readable(&set("[12345678901234567890123, \"ü\"]")).is_ok());
        for bad in ["1e400", "NaN", "\"\\ud800\"", "", &"[".repeat(5000)] {
            let error = readable(&set(bad)).expect_err(bad).to_string();
            assert!(error.contains("value \"b\" ") && error.contains("nothing of this call"), "{error}");
        }
    }
}
