//! What a session answers in which state: version 1 at its creation, one more with each update, from 1 again when it is created
//! after a delete.

use crate::{Action, Operation, Outcome};

/// How a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum State {
    Absent,
    Present { version: u64, value: Value },
}

/// A value by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Value(pub(super) u32);

impl Value {
    /// Any value that nobody saw: which one it is makes no difference.
    pub(super) const UNSEEN: Self = Self(0);
}

/// What an operation needs and does at the moment of its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// Sees that there is none.
    Misses,
    /// Sees the version.
    Meets { version: u64 },
    /// Sees version and data.
    Shows { version: u64, value: Value },
    /// Makes version 1 where there is none.
    Create { value: Value },
    /// Makes the next version.
    Update { expected: Option<u64>, value: Value },
    /// Makes it absent.
    Delete { expected: Option<u64> },
    /// No state allows this answer.
    Never,
}

impl Step {
    /// What an answered operation was. `value` numbers values.
    pub(super) fn answered(operation: &Operation, value: impl Fn(&str) -> Value) -> Option<Self> {
        let step = match &operation.outcome {
            Outcome::Refused { .. } | Outcome::Unknown { .. } => return None,
            Outcome::Missing => Self::Misses,
            Outcome::Found { version, value: found } => Self::Shows { version: *version, value: value(found) },
            Outcome::Exists { version } => Self::Meets { version: *version },
            Outcome::VersionConflict { current } => Self::conflict(&operation.action, *current),
            Outcome::Written { version } => Self::written(&operation.action, *version, value),
            Outcome::Deleted => Self::attempted(&operation.action, value)?,
        };
        Some(step)
    }

    /// What a write does where it happens, whatever its answer.
    pub(super) fn attempted(action: &Action, value: impl Fn(&str) -> Value) -> Option<Self> {
        match action {
            Action::Get => None,
            Action::Create { value: written } => Some(Self::Create { value: value(written) }),
            Action::Update { expected_version, value: written } => {
                Some(Self::Update { expected: *expected_version, value: value(written) })
            }
            Action::Delete { expected_version } => Some(Self::Delete { expected: *expected_version }),
        }
    }

    fn conflict(action: &Action, current: u64) -> Self {
        match action {
            Action::Update { expected_version: Some(expected), .. }
            | Action::Delete { expected_version: Some(expected) }
                if *expected != current =>
            {
                Self::Meets { version: current }
            }
            _ => Self::Never,
        }
    }

    fn written(action: &Action, version: u64, value: impl Fn(&str) -> Value) -> Self {
        match action {
            Action::Create { value: written } if version == 1 => Self::Create { value: value(written) },
            Action::Update { expected_version, value: written } => match version.checked_sub(1) {
                Some(before) if expected_version.is_none_or(|expected| expected == before) => {
                    Self::Update { expected: Some(before), value: value(written) }
                }
                _ => Self::Never,
            },
            _ => Self::Never,
        }
    }

    /// Whether it can change the state.
    pub(super) fn writes(self) -> bool {
        matches!(self, Self::Create { .. } | Self::Update { .. } | Self::Delete { .. })
    }

    /// The state after it, where this one allows it.
    pub(super) fn after(self, state: State) -> Option<State> {
        match (self, state) {
            (Self::Misses, State::Absent) => Some(state),
            (Self::Meets { version: seen }, State::Present { version, .. }) if seen == version => Some(state),
            (Self::Shows { version: seen, value: shown }, State::Present { version, value })
                if (seen, shown) == (version, value) =>
            {
                Some(state)
            }
            (Self::Create { value }, State::Absent) => Some(State::Present { version: 1, value }),
            (Self::Update { expected, value }, State::Present { version, .. })
                if expected.is_none_or(|expected| expected == version) =>
            {
                Some(State::Present { version: version.checked_add(1)?, value })
            }
            (Self::Delete { expected }, State::Present { version, .. })
                if expected.is_none_or(|expected| expected == version) =>
            {
                Some(State::Absent)
            }
            _ => None,
        }
    }
}
