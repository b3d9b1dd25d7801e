//! A session leaves the state with its history and its programs.

use crate::state::Decision;
use crate::{SessionId, State};

pub(crate) fn delete_session(state: &State, id: &SessionId, expected_version: Option<u64>) -> Decision {
    if let Err(rejection) = super::session_at(state, id, expected_version) {
        return super::rejected(rejection);
    }
    super::without_session(state, id)
}
