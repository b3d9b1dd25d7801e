//! Versions of a session are made once each, rise in real time, and have no gap that unknown writes do not explain.
//!
//! A delete lets them begin again: operations are compared only where no delete can have come between them.

mod highest;

use std::collections::{BTreeMap, BTreeSet};

use self::highest::Highest;
use super::{deleted_between, deletes};
use crate::{Action, History, Operation, Outcome, Violation};

const PROMISE: &str = "versions rise";

/// For each key the first version that was made twice, the first that went back, and the versions that nobody made.
pub fn versions_rise(history: &History) -> Vec<Violation> {
    let keys = history.by_key();
    let judged = keys.into_iter().flat_map(|(key, operations)| {
        let deletes = deletes(&operations);
        [made_twice(key, &operations, &deletes), back(key, &operations, &deletes), gap(key, &operations, &deletes)]
    });
    judged.flatten().collect()
}

fn made_twice(key: &str, operations: &[&Operation], deletes: &[&Operation]) -> Option<Violation> {
    // Version -> who made it last, by invocation.
    let mut made: BTreeMap<u64, &Operation> = BTreeMap::new();
    operations.iter().find_map(|&write| {
        let version = write.written_version()?;
        let earlier = made.insert(version, write)?;
        if deleted_between(deletes, earlier.invoked_ns, earlier.completed_ns.max(write.completed_ns)) {
            return None;
        }
        let what = format!("version {version} was acknowledged twice");
        Some(Violation::new(PROMISE, key, what, [earlier, write]))
    })
}

/// An operation that knows of an older version than another one knew before it began.
fn back(key: &str, operations: &[&Operation], deletes: &[&Operation]) -> Option<Violation> {
    let known = operations.iter().filter_map(|&operation| Some((operation.known_version()?, operation)));
    let mut by_completion: Vec<(u64, &Operation)> = known.clone().collect();
    by_completion.sort_by_key(|(_, operation)| operation.completed_ns);
    let mut completed = by_completion.into_iter().peekable();
    let mut highest = Highest::default();
    known.into_iter().find_map(|(version, operation)| {
        while let Some((before, other)) = completed.next_if(|(_, other)| other.completed_ns < operation.invoked_ns) {
            highest.add(other.invoked_ns, (before, other));
        }
        // Whatever began before this can have been followed by a delete.
        let may_be_deleted = deletes.iter().filter(|delete| delete.invoked_ns <= operation.completed_ns);
        let (before, other) = match may_be_deleted.map(|delete| delete.ends_ns()).max() {
            None => highest.overall()?,
            Some(deleted_ns) => highest.begun_after(deleted_ns)?,
        };
        let least = if operation.written_version().is_some() { before.saturating_add(1) } else { before };
        if version >= least {
            return None;
        }
        let what = format!("version {before} was known before this one knew of version {version} only");
        Some(Violation::new(PROMISE, key, what, [other, operation]))
    })
}

/// Versions below the highest one known that no acknowledged write made and too few unknown ones can have made.
fn gap(key: &str, operations: &[&Operation], deletes: &[&Operation]) -> Option<Violation> {
    if !deletes.is_empty() {
        return None;
    }
    let (last, witness) = operations
        .iter()
        .filter_map(|&operation| Some((operation.known_version()?, operation)))
        .max_by_key(|(version, _)| *version)?;
    let unknown = operations.iter().filter(|operation| matches!(operation.outcome, Outcome::Unknown { .. }));
    let mut made: BTreeSet<u64> = operations.iter().filter_map(|operation| operation.written_version()).collect();
    let mut anywhere = 0;
    for operation in unknown {
        match operation.action {
            Action::Create { .. } => made.extend([1]),
            Action::Update { expected_version: Some(expected), .. } => made.extend(expected.checked_add(1)),
            Action::Update { expected_version: None, .. } => anywhere += 1,
            Action::Get | Action::Delete { .. } => {}
        }
    }
    let missing = last - made.range(1..=last).count() as u64;
    // Version 1 is made by a create alone.
    if missing <= anywhere && made.contains(&1) {
        return None;
    }
    let named: Vec<String> =
        (1..=last).filter(|version| !made.contains(version)).take(5).map(|version| version.to_string()).collect();
    let more = if missing > 5 { ", ..." } else { "" };
    let what = format!(
        "version {last} was reached, and of {missing} versions nobody knows who made them ({}{more}); {anywhere} unknown updates \
         can have made one each of those after version 1",
        named.join(", "),
    );
    Some(Violation::new(PROMISE, key, what, [witness]))
}
