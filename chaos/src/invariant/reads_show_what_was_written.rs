//! Whatever a read shows, somebody had begun to write, and was not told that it did not happen.

use std::collections::HashMap;

use crate::{History, Operation, Outcome, Violation};

const PROMISE: &str = "reads show what was written";

/// The first read of each key that shows a value without a writer.
pub fn reads_show_what_was_written(history: &History) -> Vec<Violation> {
    let keys = history.by_key();
    keys.into_iter().filter_map(|(key, operations)| judge(key, &operations)).collect()
}

fn judge(key: &str, operations: &[&Operation]) -> Option<Violation> {
    let mut writers: HashMap<&str, Vec<&Operation>> = HashMap::new();
    for &operation in operations {
        if let Some(value) = operation.written_value() {
            writers.entry(value).or_default().push(operation);
        }
    }
    operations.iter().find_map(|read| {
        let Outcome::Found { value, .. } = &read.outcome else { return None };
        let writers = writers.get(value.as_str()).map_or(&[][..], Vec::as_slice);
        let can_be_it = |write: &&Operation| {
            let happens = matches!(write.outcome, Outcome::Written { .. } | Outcome::Unknown { .. });
            happens && write.invoked_ns <= read.completed_ns
        };
        if writers.iter().any(can_be_it) {
            return None;
        }
        let what = match writers.first().map(|write| &write.outcome) {
            None => "a read shows what nobody wrote",
            Some(Outcome::Written { .. } | Outcome::Unknown { .. }) => "a read shows what was written only after it",
            Some(_) => "a read shows what was not to happen: its write was refused",
        };
        Some(Violation::new(PROMISE, key, what, writers.iter().copied().chain([*read])))
    })
}
