//! A variable of the cluster, or its next version where it stands where the caller saw it.

use crate::record::{Key, Record};
use crate::state::Decision;
use crate::{
    Name, Outcome, Rejection, State, VARIABLE_BYTES_MAX, VARIABLE_VERSIONS_MAX, VARIABLES_TOTAL_BYTES_MAX,
    VariableInfo, VariableVersion,
};

pub(crate) fn set_variable(
    state: &State,
    name: &Name,
    expected_version: Option<u64>,
    value: &str,
    by: Option<&str>,
) -> Decision {
    let held = state.variable(name);
    let current = held.map_or(0, |variable| variable.info.version);
    match expected_version {
        Some(expected) if expected != current && current == 0 => return super::rejected(Rejection::VariableNotFound),
        Some(expected) if expected != current => return super::rejected(Rejection::VariableConflict { current }),
        _ => {}
    }
    let now_ms = state.log_time_ms();
    let written = VariableVersion { value: value.to_owned(), written_ms: now_ms, written_by: super::actor(by) };
    let (bytes, limit) = (value.len(), VARIABLE_BYTES_MAX);
    if bytes > limit {
        return super::rejected(Rejection::VariableTooLarge { bytes: bytes as u64, limit: limit as u64 });
    }
    let (bytes, limit) = (state.variables_weight() + written.weight(), VARIABLES_TOTAL_BYTES_MAX);
    if bytes > limit {
        return super::rejected(Rejection::VariablesFull { bytes, limit });
    }
    let version = current + 1;
    let created_ms = held.map_or(now_ms, |variable| variable.info.created_ms);
    let info = VariableInfo { version, created_ms, updated_ms: now_ms };
    let mut decision = Decision::new(Outcome::VariableWritten { version })
        .write(Record::Variable(name.clone(), info))
        .write(Record::VariableVersion(name.clone(), version, written));
    if let Some(oldest) = held.and_then(|variable| variable.oldest_version())
        && version - oldest >= VARIABLE_VERSIONS_MAX as u64
    {
        decision.removed = vec![Key::VariableVersion(name.clone(), oldest)];
    }
    decision
}
