//! What concurrent clients asked of sessions and what they learned: the material of every check.
//!
//! A key is the id of a session without a lifetime, absent when the history begins. Its data is one opaque value: an update puts
//! another one in its place. A request id makes a write happen once however often its client sends it, so a retried
//! write is one operation, from its first sending to its last answer.

mod counts;
mod lines;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use counts::Counts;
pub use lines::HistoryError;

/// One request of one client, with what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// Who asked.
    pub client: u64,
    /// The session it was about.
    pub key: String,
    /// What was asked.
    pub action: Action,
    /// When it was sent first, in nanoseconds of one monotonic clock for all clients.
    pub invoked_ns: u64,
    /// When the client had its answer, or gave up.
    pub completed_ns: u64,
    /// What the client learned.
    pub outcome: Outcome,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// A linearizable read. Reads that may be stale do not belong into a history.
    Get,
    /// A new session at version 1.
    Create {
        /// Its data.
        value: String,
    },
    /// The next version of a session that exists.
    Update {
        /// Only where the session stands at it; `None`: wherever it stands.
        expected_version: Option<u64>,
        /// Its data from then on.
        value: String,
    },
    /// The end of a session. A later one of the same id begins at version 1 again.
    Delete {
        /// Only where the session stands at it; `None`: wherever it stands.
        expected_version: Option<u64>,
    },
}

/// What a client learned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// A get: the session as it stands.
    Found {
        /// Its version.
        version: u64,
        /// Its data.
        value: String,
    },
    /// A create or an update is acknowledged.
    Written {
        /// The version that it made.
        version: u64,
    },
    /// A delete is acknowledged.
    Deleted,
    /// There is no such session.
    Missing,
    /// A create found one.
    Exists {
        /// Where it stands.
        version: u64,
    },
    /// An update or a delete found another version than it expected.
    VersionConflict {
        /// Where the session stands.
        current: u64,
    },
    /// It has not happened and never will, and nothing was learned of the session: too large, not permitted, or never sent on. An
    /// answer that leaves this open, such as a lost leader's, is unknown.
    Refused {
        /// What the client was told.
        reason: String,
    },
    /// It may have happened, may happen at any time from now on, or never: a time-out, a lost connection, a request id that is too old.
    Unknown {
        /// What the client was told.
        reason: String,
    },
}

/// An operation that no client can have had; the history was recorded wrongly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidOperation {
    /// The outcome is not one of this action.
    #[error("{action} cannot end with {outcome}: mend the recording of histories")]
    Outcome {
        /// What was asked.
        action: String,
        /// What is said to have come of it.
        outcome: String,
    },
    /// It ends before it begins.
    #[error(
        "it completes at {completed_ns} ns, before its invocation at {invoked_ns} ns: give all clients one monotonic clock"
    )]
    Times {
        /// When it was sent.
        invoked_ns: u64,
        /// When it ended.
        completed_ns: u64,
    },
}

impl Operation {
    /// Whether somebody can have had this operation.
    pub fn check(&self) -> Result<(), InvalidOperation> {
        if self.completed_ns < self.invoked_ns {
            let (invoked_ns, completed_ns) = (self.invoked_ns, self.completed_ns);
            return Err(InvalidOperation::Times { invoked_ns, completed_ns });
        }
        if !self.action.can_end(&self.outcome) {
            let (action, outcome) = (self.action.to_string(), self.outcome.to_string());
            return Err(InvalidOperation::Outcome { action, outcome });
        }
        Ok(())
    }

    /// The value that it writes, where it is a write.
    pub fn written_value(&self) -> Option<&str> {
        match &self.action {
            Action::Create { value } | Action::Update { value, .. } => Some(value),
            Action::Get | Action::Delete { .. } => None,
        }
    }

    /// The version that an acknowledged create or update made.
    pub fn written_version(&self) -> Option<u64> {
        match self.outcome {
            Outcome::Written { version } => Some(version),
            _ => None,
        }
    }

    /// The version at which the client knows the session to have stood at one moment of the operation.
    pub fn known_version(&self) -> Option<u64> {
        match self.outcome {
            Outcome::Found { version, .. } | Outcome::Written { version } | Outcome::Exists { version } => {
                Some(version)
            }
            Outcome::VersionConflict { current } => Some(current),
            Outcome::Deleted | Outcome::Missing | Outcome::Refused { .. } | Outcome::Unknown { .. } => None,
        }
    }

    /// The last moment at which it can have taken effect: without an answer, never too late.
    pub fn ends_ns(&self) -> u64 {
        if matches!(self.outcome, Outcome::Unknown { .. }) { u64::MAX } else { self.completed_ns }
    }

    /// Whether it is a delete that has happened, or may have.
    pub fn may_delete(&self) -> bool {
        matches!(self.action, Action::Delete { .. })
            && matches!(self.outcome, Outcome::Deleted | Outcome::Unknown { .. })
    }
}

impl Action {
    fn can_end(&self, outcome: &Outcome) -> bool {
        match outcome {
            Outcome::Refused { .. } | Outcome::Unknown { .. } => true,
            Outcome::Found { .. } => matches!(self, Self::Get),
            Outcome::Written { .. } => matches!(self, Self::Create { .. } | Self::Update { .. }),
            Outcome::Deleted => matches!(self, Self::Delete { .. }),
            Outcome::Missing => !matches!(self, Self::Create { .. }),
            Outcome::Exists { .. } => matches!(self, Self::Create { .. }),
            Outcome::VersionConflict { .. } => matches!(
                self,
                Self::Update { expected_version: Some(_), .. } | Self::Delete { expected_version: Some(_) }
            ),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expecting = |f: &mut fmt::Formatter<'_>, expected: &Option<u64>| match expected {
            Some(version) => write!(f, " at version {version}"),
            None => Ok(()),
        };
        match self {
            Self::Get => f.write_str("get"),
            Self::Create { value } => write!(f, "create {:?}", beginning(value)),
            Self::Update { expected_version, value } => {
                write!(f, "update to {:?}", beginning(value))?;
                expecting(f, expected_version)
            }
            Self::Delete { expected_version } => {
                f.write_str("delete")?;
                expecting(f, expected_version)
            }
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found { version, value } => write!(f, "found version {version}, {:?}", beginning(value)),
            Self::Written { version } => write!(f, "made version {version}"),
            Self::Deleted => f.write_str("deleted"),
            Self::Missing => f.write_str("no such session"),
            Self::Exists { version } => write!(f, "exists, at version {version}"),
            Self::VersionConflict { current } => write!(f, "conflict, it is at version {current}"),
            Self::Refused { reason } => write!(f, "refused: {reason}"),
            Self::Unknown { reason } => write!(f, "unknown: {reason}"),
        }
    }
}

/// What is shown of a value: drivers put what makes it unique first.
fn beginning(value: &str) -> &str {
    const SHOWN_BYTES: usize = 48;
    &value[..value.floor_char_boundary(SHOWN_BYTES)]
}

/// Operations of many clients, in no particular order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    operations: Vec<Operation>,
}

impl History {
    /// With these operations.
    pub fn new(operations: impl IntoIterator<Item = Operation>) -> Result<Self, InvalidOperation> {
        let mut history = Self::default();
        operations.into_iter().try_for_each(|operation| history.push(operation))?;
        Ok(history)
    }

    /// One more.
    pub fn push(&mut self, operation: Operation) -> Result<(), InvalidOperation> {
        operation.check()?;
        self.operations.push(operation);
        Ok(())
    }

    /// All of them.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Those of each key, in the order of their invocations.
    pub fn by_key(&self) -> BTreeMap<&str, Vec<&Operation>> {
        let mut keys: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
        for operation in &self.operations {
            keys.entry(&operation.key).or_default().push(operation);
        }
        for operations in keys.values_mut() {
            operations.sort_by_key(|operation| (operation.invoked_ns, operation.completed_ns));
        }
        keys
    }
}

#[cfg(test)]
mod tests;
