//! A variable leaves the state with its history.

use crate::state::Decision;
use crate::{Name, Outcome, Rejection, State};

pub(crate) fn delete_variable(state: &State, name: &Name, expected_version: Option<u64>) -> Decision {
    let Some(variable) = state.variable(name) else { return super::rejected(Rejection::VariableNotFound) };
    let current = variable.info.version;
    if expected_version.is_some_and(|expected| expected != current) {
        return super::rejected(Rejection::VariableConflict { current });
    }
    let mut decision = Decision::new(Outcome::Done);
    decision.removed = state.variable_keys(name);
    decision
}
