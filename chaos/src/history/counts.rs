//! How much a history says, to be printed beside every verdict: a green check of nothing is worth nothing.

use std::fmt;

use super::{Action, History, Outcome};

/// Operations by what came of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Keys.
    pub keys: usize,
    /// Reads that were answered, with a session or with none.
    pub reads: usize,
    /// Creates, updates and deletes that were acknowledged.
    pub writes: usize,
    /// Writes that were rejected for the state that they met: missing, there already, at another version.
    pub rejected: usize,
    /// Operations that did not happen.
    pub refused: usize,
    /// Operations that may have happened.
    pub unknown: usize,
}

impl History {
    /// Counts its operations.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { keys: self.by_key().len(), ..Counts::default() };
        for operation in &self.operations {
            let count = match (&operation.action, &operation.outcome) {
                (_, Outcome::Refused { .. }) => &mut counts.refused,
                (_, Outcome::Unknown { .. }) => &mut counts.unknown,
                (Action::Get, _) => &mut counts.reads,
                (_, Outcome::Written { .. } | Outcome::Deleted) => &mut counts.writes,
                _ => &mut counts.rejected,
            };
            *count += 1;
        }
        counts
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { keys, reads, writes, rejected, refused, unknown } = self;
        write!(
            f,
            "{keys} keys: {writes} writes acknowledged, {reads} reads answered, {rejected} rejected, {refused} refused, \
             {unknown} unknown"
        )
    }
}
