//! Operations as tests tell them: who, from when to when, what, and what came of it.

mod small;

pub(crate) use small::{nearly_right, small_operation};

use crate::{Action, History, Operation, Outcome};

pub(crate) fn operation(client: u64, (from, to): (u64, u64), action: Action, outcome: Outcome) -> Operation {
    Operation { client, key: "s".to_owned(), action, invoked_ns: from, completed_ns: to, outcome }
}

pub(crate) fn history(operations: impl IntoIterator<Item = Operation>) -> History {
    History::new(operations).expect("possible operations")
}

pub(crate) fn create(value: &str) -> Action {
    Action::Create { value: value.to_owned() }
}

/// Wherever it stands.
pub(crate) fn update(value: &str) -> Action {
    Action::Update { expected_version: None, value: value.to_owned() }
}

pub(crate) fn update_at(version: u64, value: &str) -> Action {
    Action::Update { expected_version: Some(version), value: value.to_owned() }
}

pub(crate) fn delete() -> Action {
    Action::Delete { expected_version: None }
}

pub(crate) fn delete_at(version: u64) -> Action {
    Action::Delete { expected_version: Some(version) }
}

pub(crate) fn found(version: u64, value: &str) -> Outcome {
    Outcome::Found { version, value: value.to_owned() }
}

pub(crate) fn written(version: u64) -> Outcome {
    Outcome::Written { version }
}

pub(crate) fn unknown() -> Outcome {
    Outcome::Unknown { reason: "time-out".to_owned() }
}

pub(crate) fn refused() -> Outcome {
    Outcome::Refused { reason: "no leader".to_owned() }
}
