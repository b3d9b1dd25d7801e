//! Faults planted in a history. Each is put only where no order of the operations can explain it, so that a check that
//! passes it over is wrong.

use std::collections::BTreeMap;

use super::Chance;
use crate::{Action, History, Operation, Outcome};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Mutant {
    /// A read shows a version older than one that was known before it began.
    StaleRead,
    /// The last acknowledged write of a key is gone for everybody who reads after it.
    LostWrite,
    /// Two reads, one after the other, have each other's answers.
    SwappedReads,
    /// An update is acknowledged from the same version as another one.
    UpdatedTwice,
    /// A write happened twice: a version more than there were writes.
    AppliedTwice,
    /// A read shows what nobody wrote.
    NeverWritten,
    /// A read shows a session that was deleted and not created again.
    Resurrection,
}

/// A history with a fault.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Planted {
    /// The history.
    pub history: History,
    /// Where the fault is.
    pub key: String,
}

/// Operations of a key with their places in the history.
type Key<'a> = Vec<(usize, &'a Operation)>;

/// New outcomes by place, and new actions where those change too.
#[derive(Clone, Default)]
struct Changes(Vec<(usize, Outcome, Option<Action>)>);

impl Changes {
    fn of(place: usize, outcome: Outcome) -> Self {
        Self(vec![(place, outcome, None)])
    }
}

impl Mutant {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::StaleRead,
        Self::LostWrite,
        Self::SwappedReads,
        Self::UpdatedTwice,
        Self::AppliedTwice,
        Self::NeverWritten,
        Self::Resurrection,
    ];

    /// Plants one by chance; `None` where the history has no place for it.
    pub fn plant(self, history: &History, chance: &mut Chance) -> Option<Planted> {
        let mut keys: BTreeMap<&str, Key<'_>> = BTreeMap::new();
        for (place, operation) in history.operations().iter().enumerate() {
            keys.entry(&operation.key).or_default().push((place, operation));
        }
        let mut names: Vec<&str> = keys.keys().copied().collect();
        while !names.is_empty() {
            let drawn = chance.below(names.len() as u64);
            let name = names.swap_remove(usize::try_from(drawn).ok()?);
            if let Some(changes) = chance.pick(&self.places(&keys[name])) {
                return Some(Planted { history: changed(history, changes), key: name.to_owned() });
            }
        }
        None
    }

    fn places(self, key: &Key<'_>) -> Vec<Changes> {
        // Where nothing can have been deleted, versions only rise.
        let rises = !key.iter().any(|(_, operation)| operation.may_delete());
        match self {
            Self::NeverWritten => never_written(key),
            Self::Resurrection => resurrection(key),
            _ if !rises => Vec::new(),
            Self::StaleRead => stale_read(key),
            Self::LostWrite => lost_write(key),
            Self::SwappedReads => swapped_reads(key),
            Self::UpdatedTwice => updated_twice(key),
            Self::AppliedTwice => applied_twice(key),
        }
    }
}

fn changed(history: &History, changes: Changes) -> History {
    let mut operations = history.operations().to_vec();
    for (place, outcome, action) in changes.0 {
        operations[place].outcome = outcome;
        if let Some(action) = action {
            operations[place].action = action;
        }
    }
    History::new(operations).expect("only possible outcomes are planted")
}

/// What an operation says a version held.
fn content(operation: &Operation) -> Option<(u64, &str)> {
    match &operation.outcome {
        Outcome::Found { version, value } => Some((*version, value)),
        Outcome::Written { version } => Some((*version, operation.written_value()?)),
        _ => None,
    }
}

fn found((version, value): (u64, &str)) -> Outcome {
    Outcome::Found { version, value: value.to_owned() }
}

fn answered_gets<'k, 'a>(key: &'k Key<'a>) -> impl Iterator<Item = (usize, &'a Operation)> + 'k {
    key.iter().copied().filter(|(_, operation)| matches!(operation.outcome, Outcome::Found { .. }))
}

fn stale_read(key: &Key<'_>) -> Vec<Changes> {
    let mut places = Vec::new();
    for (place, get) in answered_gets(key) {
        let before = key.iter().filter(|(_, other)| other.completed_ns < get.invoked_ns);
        let known = before.filter_map(|(_, other)| other.known_version()).max().unwrap_or(0);
        let older = key.iter().filter_map(|(_, other)| content(other)).filter(|(version, _)| *version < known);
        places.extend(older.map(|content| Changes::of(place, found(content))));
    }
    places
}

fn lost_write(key: &Key<'_>) -> Vec<Changes> {
    let written = key.iter().filter_map(|(_, operation)| Some((operation.written_version()?, *operation)));
    let Some((version, lost)) = written.max_by_key(|(version, _)| *version) else { return Vec::new() };
    let Some(before) =
        key.iter().filter_map(|(_, other)| content(other)).find(|(older, _)| older.checked_add(1) == Some(version))
    else {
        return Vec::new();
    };
    let gets = answered_gets(key).filter(|(_, get)| get.invoked_ns > lost.completed_ns);
    let changes: Vec<_> = gets.map(|(place, _)| (place, found(before), None)).collect();
    if changes.is_empty() { Vec::new() } else { vec![Changes(changes)] }
}

fn swapped_reads(key: &Key<'_>) -> Vec<Changes> {
    let mut places = Vec::new();
    for (first_place, first) in answered_gets(key) {
        let later = answered_gets(key).filter(|(_, get)| get.invoked_ns > first.completed_ns);
        for (second_place, second) in later.filter(|(_, get)| get.known_version() > first.known_version()) {
            places.push(Changes(vec![
                (first_place, second.outcome.clone(), None),
                (second_place, first.outcome.clone(), None),
            ]));
        }
    }
    places
}

fn updated_twice(key: &Key<'_>) -> Vec<Changes> {
    let made: Vec<u64> = key.iter().filter_map(|(_, operation)| operation.written_version()).collect();
    let conflicts = key.iter().filter_map(|(place, operation)| match (&operation.action, &operation.outcome) {
        (Action::Update { expected_version: Some(expected), .. }, Outcome::VersionConflict { .. }) => {
            Some((*place, expected.checked_add(1)?))
        }
        _ => None,
    });
    let taken = conflicts.filter(|(_, version)| made.contains(version));
    taken.map(|(place, version)| Changes::of(place, Outcome::Written { version })).collect()
}

fn applied_twice(key: &Key<'_>) -> Vec<Changes> {
    let unknown =
        |operation: &Operation| matches!(operation.outcome, Outcome::Unknown { .. }) && operation.action != Action::Get;
    if key.iter().any(|(_, operation)| unknown(operation)) {
        return Vec::new();
    }
    let last = key.iter().filter_map(|(_, operation)| operation.known_version()).max().unwrap_or(0);
    let made = key.iter().filter_map(|(_, operation)| operation.written_version());
    made.filter(|version| *version < last).map(|version| later_versions(key, version)).collect()
}

/// Every version after `made` is one more, in answers and in what later writes expected.
fn later_versions(key: &Key<'_>, made: u64) -> Changes {
    let shifted = |version: u64| if version > made { version.saturating_add(1) } else { version };
    let mut changes = Changes::default();
    for (place, operation) in key {
        let outcome = match operation.outcome.clone() {
            Outcome::Found { version, value } => Outcome::Found { version: shifted(version), value },
            Outcome::Written { version } => Outcome::Written { version: shifted(version) },
            Outcome::Exists { version } => Outcome::Exists { version: shifted(version) },
            Outcome::VersionConflict { current } => Outcome::VersionConflict { current: shifted(current) },
            other => other,
        };
        let action = match operation.action.clone() {
            Action::Update { expected_version, value } => {
                Action::Update { expected_version: expected_version.map(shifted), value }
            }
            Action::Delete { expected_version } => Action::Delete { expected_version: expected_version.map(shifted) },
            other => other,
        };
        changes.0.push((*place, outcome, Some(action)));
    }
    changes
}

fn never_written(key: &Key<'_>) -> Vec<Changes> {
    let gets = answered_gets(key).filter_map(|(place, get)| Some((place, get.known_version()?)));
    gets.map(|(place, version)| Changes::of(place, found((version, "nobody wrote this")))).collect()
}

fn resurrection(key: &Key<'_>) -> Vec<Changes> {
    let creates = key.iter().filter(|(_, operation)| {
        matches!(operation.action, Action::Create { .. })
            && matches!(operation.outcome, Outcome::Written { .. } | Outcome::Unknown { .. })
    });
    let last_create_ns = creates.map(|(_, create)| create.ends_ns()).max().unwrap_or(0);
    let last_delete = key.iter().filter(|(_, operation)| operation.outcome == Outcome::Deleted);
    let Some((_, delete)) = last_delete.max_by_key(|(_, delete)| delete.invoked_ns) else { return Vec::new() };
    let Some(content) = key.iter().find_map(|(_, operation)| content(operation)) else { return Vec::new() };
    if last_create_ns >= delete.invoked_ns {
        return Vec::new();
    }
    let gets = key.iter().filter(|(_, get)| get.action == Action::Get && get.outcome == Outcome::Missing);
    let after = gets.filter(|(_, get)| get.invoked_ns > delete.completed_ns);
    after.map(|(place, _)| Changes::of(*place, found(content))).collect()
}
