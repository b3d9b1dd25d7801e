//! The operations on one key, made small for the search, with what rules an order out before it is tried.

mod offer;

use std::collections::{BTreeMap, HashMap, HashSet};

use self::offer::Offer;
use super::register::{State, Step, Value};
use crate::{Operation, Outcome};

/// An operation that must have its place in the order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Required {
    pub(super) invoked_ns: u64,
    pub(super) completed_ns: u64,
    pub(super) step: Step,
}

/// A write that may have a place in the order, anywhere after its invocation.
#[derive(Clone, Copy, Debug)]
struct Optional {
    invoked_ns: u64,
    step: Step,
    /// Somebody saw its value, and nobody else wrote it: it makes a state that was seen, or it did not happen.
    must_be_seen: bool,
}

/// Optional writes that do the same, as a range of them in the order of their invocations. They are used in that order:
/// whatever a later one can do, an earlier one can do in its place.
#[derive(Clone, Copy, Debug)]
struct Class {
    begin: usize,
    end: usize,
}

/// What a state must be for a class to do anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Need {
    Absent,
    Version(u64),
    Present,
}

/// What is known before the search.
#[derive(Debug, Default)]
pub(super) struct Puzzle {
    /// In the order of their invocations.
    pub(super) required: Vec<Required>,
    optional: Vec<Optional>,
    classes: HashMap<Need, Vec<Class>>,
    /// Versions with the values that were seen in them.
    seen: HashSet<(u64, Value)>,
    /// Versions of acknowledged writes, where nothing can have deleted the session: each is made once.
    taken: HashSet<u64>,
    /// No answer and no delete speaks of a later version. One that an unknown write makes beyond it explains nothing.
    last_version: u64,
}

impl Puzzle {
    /// `operations` in the order of their invocations. The answers of those that are not held are put out of mind: such a write
    /// counts as unknown.
    pub(super) fn new(operations: &[&Operation], held: impl Fn(usize) -> bool) -> Self {
        let places = || operations.iter().enumerate().map(|(place, operation)| (held(place), *operation));
        let values = seen_values(places());
        let number = |text: &str| values.get(text).copied().unwrap_or(Value::UNSEEN);
        let mut puzzle = Self::default();
        let mut optional = Vec::new();
        for (held, operation) in places() {
            let answered = Step::answered(operation, number);
            match answered {
                Some(step) if held => puzzle.required.push(Required {
                    invoked_ns: operation.invoked_ns,
                    completed_ns: operation.completed_ns,
                    step,
                }),
                _ if may_have_happened(operation) => {
                    optional
                        .extend(Step::attempted(&operation.action, number).map(|step| (operation.invoked_ns, step)));
                }
                _ => {}
            }
        }
        puzzle.note_answers();
        puzzle.note_optional(optional.iter().map(|(_, step)| *step));
        puzzle.classify(optional);
        puzzle
    }

    fn note_answers(&mut self) {
        // Whatever is known of a session, it may have been created.
        self.last_version = 1;
        for required in &self.required {
            let version = match required.step {
                Step::Shows { version, value } => {
                    self.seen.insert((version, value));
                    Some(version)
                }
                Step::Meets { version } => Some(version),
                Step::Create { .. } => Some(1),
                Step::Update { expected, .. } => expected.and_then(|before| before.checked_add(1)),
                Step::Delete { expected } => expected,
                Step::Misses | Step::Never => None,
            };
            self.last_version = self.last_version.max(version.unwrap_or(0));
        }
    }

    fn note_optional(&mut self, optional: impl Iterator<Item = Step> + Clone) {
        for step in optional.clone() {
            if let Step::Delete { expected: Some(version) } = step {
                self.last_version = self.last_version.max(version);
            }
        }
        let steps = self.required.iter().map(|required| required.step);
        if steps.clone().chain(optional).any(|step| matches!(step, Step::Delete { .. })) {
            return;
        }
        let made = steps.filter_map(|step| match step {
            Step::Create { .. } => Some(1),
            Step::Update { expected, .. } => expected.and_then(|before| before.checked_add(1)),
            _ => None,
        });
        self.taken = made.collect();
    }

    fn classify(&mut self, optional: Vec<(u64, Step)>) {
        let value = |step| match step {
            Step::Create { value } | Step::Update { value, .. } => Some(value),
            _ => None,
        };
        let mut writers: HashMap<Value, u32> = HashMap::new();
        let steps = self.required.iter().map(|required| required.step).chain(optional.iter().map(|(_, step)| *step));
        for value in steps.filter_map(value) {
            *writers.entry(value).or_default() += 1;
        }
        let mut classes: BTreeMap<(Need, Option<Value>), Vec<Optional>> = BTreeMap::new();
        for (invoked_ns, step) in optional {
            let value = value(step);
            let must_be_seen = value.is_some_and(|value| value != Value::UNSEEN && writers.get(&value) == Some(&1));
            classes.entry((need(step), value)).or_default().push(Optional { invoked_ns, step, must_be_seen });
        }
        for ((need, _), members) in classes {
            let begin = self.optional.len();
            self.optional.extend(members);
            self.classes.entry(need).or_default().push(Class { begin, end: self.optional.len() });
        }
    }

    /// How many optional writes there are; they are numbered from 0.
    pub(super) fn optional_count(&self) -> usize {
        self.optional.len()
    }

    /// The state after a required operation, where this one allows it.
    pub(super) fn after(&self, step: Step, state: State) -> Option<State> {
        Some(match step.after(state)? {
            State::Present { version, value } if step.writes() && !self.seen.contains(&(version, value)) => {
                State::Present { version, value: Value::UNSEEN }
            }
            after => after,
        })
    }

    /// Optional writes that can be next and may help: of each class the first, and none where another one does as well.
    pub(super) fn offers(&self, state: State, deadline_ns: u64, used: impl Fn(usize) -> bool) -> Vec<usize> {
        let needs = match state {
            State::Absent => [Some(Need::Absent), None],
            State::Present { version, .. } => [Some(Need::Version(version)), Some(Need::Present)],
        };
        let classes = needs.into_iter().flatten().filter_map(|need| self.classes.get(&need)).flatten();
        let firsts = classes.filter_map(|class| (class.begin..class.end).find(|&place| !used(place)));
        let in_time = firsts.filter(|&place| self.optional[place].invoked_ns <= deadline_ns);
        let offers: Vec<Offer> = in_time
            .filter_map(|place| {
                let after = self.after_optional(place, state)?;
                Some(Offer { place, step: self.optional[place].step, after })
            })
            .collect();
        let best = offers.iter().filter(|offer| !offers.iter().any(|other| other.outdoes(offer)));
        best.map(|offer| offer.place).collect()
    }

    /// The state after an optional write, where this one allows it and it may help.
    pub(super) fn after_optional(&self, place: usize, state: State) -> Option<State> {
        let optional = self.optional[place];
        let after = self.after(optional.step, state)?;
        if let State::Present { version, value } = after {
            let unseen = optional.must_be_seen && value == Value::UNSEEN;
            if unseen || version > self.last_version || self.taken.contains(&version) {
                return None;
            }
        }
        Some(after)
    }
}

/// Whether an operation can have changed the session, its answer put out of mind. What was rejected cannot.
fn may_have_happened(operation: &Operation) -> bool {
    matches!(operation.outcome, Outcome::Unknown { .. } | Outcome::Written { .. } | Outcome::Deleted)
}

/// Numbers for the values that somebody saw, from 1 on.
fn seen_values<'a>(operations: impl Iterator<Item = (bool, &'a Operation)>) -> HashMap<&'a str, Value> {
    let mut values = HashMap::new();
    for (_, operation) in operations.filter(|(held, _)| *held) {
        if let Outcome::Found { value, .. } = &operation.outcome {
            let next = u32::try_from(values.len() + 1).expect("fewer than four billion operations on a key");
            values.entry(value.as_str()).or_insert(Value(next));
        }
    }
    values
}

fn need(step: Step) -> Need {
    match step {
        Step::Create { .. } => Need::Absent,
        Step::Update { expected: Some(version), .. } | Step::Delete { expected: Some(version) } => {
            Need::Version(version)
        }
        _ => Need::Present,
    }
}
