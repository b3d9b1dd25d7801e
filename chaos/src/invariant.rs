//! Simple promises, each judged alone over a history: weaker than linearizability, and with a message that names the fault.
//!
//! None of them ever reports a history that some order explains.

mod acknowledged_writes_survive;
mod reads_show_what_was_written;
#[cfg(test)]
mod tests;
mod versions_rise;
mod writes_happen_once;

pub use acknowledged_writes_survive::acknowledged_writes_survive;
pub use reads_show_what_was_written::reads_show_what_was_written;
pub use versions_rise::versions_rise;
pub use writes_happen_once::writes_happen_once;

use crate::{History, Operation, Violation};

/// All of them. `healed_ns`: when faults ended; every key is read after it.
pub fn check(history: &History, healed_ns: u64) -> Vec<Violation> {
    let mut violations = acknowledged_writes_survive(history, healed_ns);
    violations.extend(versions_rise(history));
    violations.extend(writes_happen_once(history));
    violations.extend(reads_show_what_was_written(history));
    violations
}

/// Whether one of these deletes can have taken effect between two moments.
fn deleted_between(deletes: &[&Operation], from_ns: u64, to_ns: u64) -> bool {
    deletes.iter().any(|delete| delete.invoked_ns <= to_ns && delete.ends_ns() >= from_ns)
}

/// Deletes that have happened, or may have.
fn deletes<'a>(operations: &[&'a Operation]) -> Vec<&'a Operation> {
    operations.iter().copied().filter(|operation| operation.may_delete()).collect()
}
