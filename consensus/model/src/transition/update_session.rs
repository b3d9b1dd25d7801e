//! A session's next version, where it stands where the caller saw it.

use crate::record::{Key, Record};
use crate::state::Decision;
use crate::{NewTtl, Outcome, SESSION_VERSIONS_MAX, SessionChange, SessionId, SessionInfo, SessionVersion, State};

pub(crate) fn update_session(
    state: &State,
    id: &SessionId,
    expected_version: Option<u64>,
    change: &SessionChange,
    ttl: Option<NewTtl>,
) -> Decision {
    let session = match super::session_at(state, id, expected_version) {
        Ok(session) => session,
        Err(rejection) => return super::rejected(rejection),
    };
    let now_ms = state.log_time_ms();
    let data = session.data().cloned().unwrap_or_default().changed(change);
    let written = SessionVersion { written_ms: now_ms, data };
    if let Err(rejection) = super::session_fits(state, &written) {
        return super::rejected(rejection);
    }
    let ttl_ms = match ttl {
        None => session.info.ttl_ms,
        Some(NewTtl::Forever) => None,
        Some(NewTtl::For(ttl)) => Some(ttl),
    };
    let version = session.info.version + 1;
    let info = SessionInfo { version, updated_ms: now_ms, ttl_ms, ..session.info };
    let outcome = Outcome::SessionWritten { version, expires_ms: info.expires_ms() };
    let mut decision = Decision::new(outcome).write(Record::Session(id.clone(), info)).write(Record::SessionVersion(
        id.clone(),
        version,
        written,
    ));
    if let Some(oldest) = session.oldest_version()
        && version - oldest >= SESSION_VERSIONS_MAX as u64
    {
        decision.removed = vec![Key::SessionVersion(id.clone(), oldest)];
    }
    decision
}
