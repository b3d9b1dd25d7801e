//! What an execution made of its session. It counts where nobody has written and no other home has executed meanwhile.

use super::update_session;
use crate::record::Record;
use crate::state::Decision;
use crate::{ExecutedWrite, Outcome, Rejection, RequestId, State};

/// Results up to this many bytes are kept, so that a repeated request is answered and not executed again.
pub const EXECUTED_BYTES_MAX: usize = 1024;

pub(crate) fn write_executed(state: &State, executed: &ExecutedWrite, request: Option<RequestId>) -> Decision {
    let ExecutedWrite { session: id, epoch, version, change, result } = executed;
    let Some(session) = state.session(id) else { return super::rejected(Rejection::SessionNotFound) };
    if let Some(home) = session.home.filter(|home| home.epoch != *epoch) {
        return super::rejected(Rejection::SessionMoved(home));
    }
    let decision = update_session(state, id, Some(*version), change, None);
    match (&decision.outcome, request, result) {
        (Outcome::SessionWritten { .. }, Some(request), Some(result)) if result.len() <= EXECUTED_BYTES_MAX => {
            decision.write(Record::Executed(request, result.clone()))
        }
        _ => decision,
    }
}
