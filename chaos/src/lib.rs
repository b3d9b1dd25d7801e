//! Faults that are real, and what clients must see all the same.
//!
//! ```text
//! fault ------> processes, disks, networks, clocks of a run
//!                    |
//! clients -----> History (JSON lines, kept and checked again)
//!                    |
//!                    +--> linearizability   is there an order that explains every answer?
//!                    +--> invariant         the simple promises, with better messages than the search
//! control -----> histories known to be right, and planted faults that the checks must see
//! ```
//! `scenario` puts it together: `traffic` on a `target`, the faults of a `schedule` on a `stage` (a `cluster` of our own, or an operator's by
//! commands), then every `promise`. `evaluation` does the same with a run over all nodes of a cluster, whose account it judges.
//!
//! Checks are pure functions of a history. An unknown outcome is neither success nor failure: the operation may have
//! happened, may happen later, or never.

pub mod cluster;
pub mod control;
pub mod evaluation;
pub mod fault;
mod finding;
mod history;
pub mod invariant;
pub mod linearizability;
pub mod promise;
pub mod scenario;
pub mod schedule;
pub mod stage;
mod stopwatch;
#[cfg(test)]
mod story;
pub mod target;
pub mod traffic;
mod violation;

pub use finding::Finding;
pub use history::{Action, Counts, History, HistoryError, InvalidOperation, Operation, Outcome};
pub use stopwatch::Stopwatch;
pub use violation::Violation;
