//! Versions rise by one a write, a write happens once, and what is read was written.

use crate::finding::Finding;
use crate::{History, invariant};

/// Judges all versions that clients saw.
pub fn check(history: &History) -> Finding {
    let mut violations = invariant::versions_rise(history);
    violations.extend(invariant::writes_happen_once(history));
    violations.extend(invariant::reads_show_what_was_written(history));
    let seen = history.operations().iter().filter(|operation| operation.known_version().is_some()).count();
    let broken = violations.iter().map(ToString::to_string).collect();
    Finding::new("versions rise", format!("{seen} versions seen"), broken)
}
