//! One order of all operations explains every answer.

use crate::finding::Finding;
use crate::{History, linearizability};

/// Searches for it.
pub fn check(history: &History) -> Finding {
    let report = linearizability::check(history);
    let violated = report.violations.iter().map(ToString::to_string);
    let broken = violated.chain(report.undecided.iter().map(ToString::to_string)).collect();
    let looked_at = format!("{} operations on {} keys, {} states", report.operations, report.keys, report.steps);
    Finding::new("linearizable", looked_at, broken)
}
