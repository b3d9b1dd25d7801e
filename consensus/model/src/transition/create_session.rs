//! A new session at version 1. One whose time is over does not stand in its way.

use crate::record::Record;
use crate::state::Decision;
use crate::{Outcome, Rejection, SessionData, SessionId, SessionInfo, SessionVersion, State};

pub(crate) fn create_session(
    state: &State,
    id: &SessionId,
    ttl_ms: Option<u64>,
    data: &[(String, String)],
) -> Decision {
    if let Some(session) = state.session(id) {
        return super::rejected(Rejection::SessionExists { version: session.info.version });
    }
    let now_ms = state.log_time_ms();
    let version = SessionVersion { written_ms: now_ms, data: SessionData::new(data.iter().cloned()) };
    if let Err(rejection) = super::session_fits(state, &version) {
        return super::rejected(rejection);
    }
    let info = SessionInfo { version: 1, created_ms: now_ms, updated_ms: now_ms, ttl_ms };
    let outcome = Outcome::SessionWritten { version: 1, expires_ms: info.expires_ms() };
    let mut decision = Decision::new(outcome).write(Record::Session(id.clone(), info)).write(Record::SessionVersion(
        id.clone(),
        1,
        version,
    ));
    let before = super::without_session(state, id);
    (decision.removed_before, decision.effects) = (before.removed, before.effects);
    decision
}
