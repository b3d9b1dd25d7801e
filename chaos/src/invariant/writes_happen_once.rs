//! A write makes one version, however often its client had to send it. Judged where nobody else wrote the same value: drivers
//! should write each value once.

use std::collections::HashMap;

use crate::{History, Operation, Outcome, Violation};

const PROMISE: &str = "writes happen once";

/// The first write of each key whose value was there at two versions.
pub fn writes_happen_once(history: &History) -> Vec<Violation> {
    let keys = history.by_key();
    keys.into_iter().filter_map(|(key, operations)| judge(key, &operations)).collect()
}

fn judge(key: &str, operations: &[&Operation]) -> Option<Violation> {
    let mut writers: HashMap<&str, (u32, &Operation)> = HashMap::new();
    for &operation in operations {
        if let Some(value) = operation.written_value() {
            writers.entry(value).or_insert((0, operation)).0 += 1;
        }
    }
    // Value -> who first knew it, and at which version.
    let mut known: HashMap<&str, (u64, &Operation)> = HashMap::new();
    operations.iter().find_map(|&operation| {
        let (version, value) = match &operation.outcome {
            Outcome::Found { version, value } => (*version, value.as_str()),
            Outcome::Written { version } => (*version, operation.written_value()?),
            _ => return None,
        };
        let (first_version, first) = *known.entry(value).or_insert((version, operation));
        let (writers, write) = writers.get(value)?;
        if *writers > 1 || first_version == version {
            return None;
        }
        let what =
            format!("one write made the versions {} and {}", first_version.min(version), first_version.max(version));
        let shown = [first, operation].into_iter().filter(|shown| shown != write);
        Some(Violation::new(PROMISE, key, what, shown.chain([*write])))
    })
}
