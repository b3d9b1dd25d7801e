//! What was acknowledged is there when the faults are over: the final read of each key is at least at the last acknowledged
//! version, with the value of a write that made it or may have. A session whose delete was acknowledged stays away.

use super::{deleted_between, deletes};
use crate::{Action, History, Operation, Outcome, Violation};

const PROMISE: &str = "acknowledged writes survive";

/// Judges the last answered get of each key among those invoked at `healed_ns` or later. A key with acknowledged writes and
/// without such a read is a violation too: nothing says that they survived.
pub fn acknowledged_writes_survive(history: &History, healed_ns: u64) -> Vec<Violation> {
    let keys = history.by_key();
    keys.into_iter().filter_map(|(key, operations)| judge(key, &operations, healed_ns)).collect()
}

fn judge(key: &str, operations: &[&Operation], healed_ns: u64) -> Option<Violation> {
    let is_answered = |get: &Operation| matches!(get.outcome, Outcome::Found { .. } | Outcome::Missing);
    let gets =
        operations.iter().filter(|operation| operation.action == Action::Get && operation.invoked_ns >= healed_ns);
    let last = gets.filter(|get| is_answered(get)).max_by_key(|get| get.invoked_ns);
    let Some(read) = last else {
        let writes = operations.iter().filter(|operation| operation.written_version().is_some());
        let last_write = writes.max_by_key(|write| write.completed_ns)?;
        let what = "nobody read it after the faults had ended: read every key once more";
        return Some(Violation::new(PROMISE, key, what, [*last_write]));
    };
    match &read.outcome {
        Outcome::Found { version, value } => lost(key, operations, read, *version)
            .or_else(|| exchanged(key, operations, read, *version, value))
            .or_else(|| returned(key, operations, read)),
        _ => lost(key, operations, read, 0),
    }
}

/// An acknowledged write that no delete can have undone, of a later version than the one that is read.
fn lost(key: &str, operations: &[&Operation], read: &Operation, version: u64) -> Option<Violation> {
    let deletes = deletes(operations);
    let before = operations.iter().filter(|operation| operation.completed_ns < read.invoked_ns);
    let kept = before.filter(|write| !deleted_between(&deletes, write.invoked_ns, read.completed_ns));
    let last = kept.max_by_key(|write| write.written_version())?;
    let acknowledged = last.written_version().filter(|acknowledged| *acknowledged > version)?;
    let what = format!("version {acknowledged} was acknowledged and is gone");
    Some(Violation::new(PROMISE, key, what, [*last, read]))
}

/// An acknowledged write of the version that is read, with another value, where the session was deleted in no case.
fn exchanged(key: &str, operations: &[&Operation], read: &Operation, version: u64, value: &str) -> Option<Violation> {
    if !deletes(operations).is_empty() {
        return None;
    }
    let mut writes = operations.iter().filter(|write| write.written_version() == Some(version));
    let other = writes.find(|write| write.written_value() != Some(value))?;
    let what = format!("version {version} was acknowledged with another value than the one that is read");
    Some(Violation::new(PROMISE, key, what, [*other, read]))
}

/// A session that is read though its delete was acknowledged and no create can have come after it.
fn returned(key: &str, operations: &[&Operation], read: &Operation) -> Option<Violation> {
    let acknowledged = operations.iter().filter(|operation| operation.outcome == Outcome::Deleted);
    let gone = acknowledged.filter(|delete| delete.completed_ns < read.invoked_ns);
    let last = gone.max_by_key(|delete| delete.invoked_ns)?;
    let creates = operations.iter().filter(|operation| {
        let happens = matches!(operation.outcome, Outcome::Written { .. } | Outcome::Unknown { .. });
        happens && matches!(operation.action, Action::Create { .. })
    });
    let mut later = creates.filter(|create| create.ends_ns() >= last.invoked_ns);
    if later.next().is_some() {
        return None;
    }
    Some(Violation::new(PROMISE, key, "its delete was acknowledged, and it is there again", [*last, read]))
}
