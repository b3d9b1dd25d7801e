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
//! Checks are pure functions of a history. An unknown outcome is neither success nor failure: the operation may have
//! happened, may happen later, or never.

pub mod control;
pub mod fault;
mod history;
pub mod invariant;
pub mod linearizability;
#[cfg(test)]
mod story;
mod violation;

pub use history::{Action, Counts, History, HistoryError, InvalidOperation, Operation, Outcome};
pub use violation::Violation;
