//! A session leaves the state with its history.

use crate::state::Decision;
use crate::{Outcome, SessionId, State};

pub(crate) fn delete_session(state: &State, id: &SessionId, expected_version: Option<u64>) -> Decision {
    if let Err(rejection) = super::session_at(state, id, expected_version) {
        return super::rejected(rejection);
    }
    let mut decision = Decision::new(Outcome::Done);
    decision.removed = super::session_keys(state, id);
    decision
}
