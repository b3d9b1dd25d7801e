//! Is there one order of all operations, each between its invocation and its completion, that explains every answer?
//!
//! The search is Wing and Gong's with Lowe's memory of what was tried, for each key on its own: linearizability is local. It
//! never guesses: a key that takes more work than allowed is undecided, which is neither right nor wrong. Writes
//! without an answer may take effect at any time after their invocation, or never.
//!
//! | File | Does |
//! |---|---|
//! | `register` | what a session answers in which state |
//! | `puzzle` | the operations on a key, made small, with what rules orders out early |
//! | `search` | finds an order, or shows that there is none |
//! | `conflict` | the few answers that already contradict each other |

mod conflict;
mod puzzle;
mod register;
mod search;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::{History, Operation, Violation};
use puzzle::Puzzle;
use search::{Verdict, search};

const PROMISE: &str = "linearizability";

/// States that the search looks at for one key before it gives up; about a second, and some hundred MiB at the worst.
pub const STEPS_MAX: u64 = 500_000;

/// What came of a check.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// How many keys were checked.
    pub keys: usize,
    /// How many operations were on them.
    pub operations: usize,
    /// States that the search looked at.
    pub steps: u64,
    /// One for each key that no order explains.
    pub violations: Vec<Violation>,
    /// Keys of which nothing can be said.
    pub undecided: Vec<Undecided>,
}

/// A key that took more work than was allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Undecided {
    /// The session.
    pub key: String,
    /// Operations on it.
    pub operations: usize,
    /// States that were looked at.
    pub steps: u64,
}

impl Report {
    /// Whether every key is explained: nothing violated, nothing undecided.
    pub fn is_linearizable(&self) -> bool {
        self.violations.is_empty() && self.undecided.is_empty()
    }
}

/// Checks every key of a history with the usual bound on work.
pub fn check(history: &History) -> Report {
    check_within(history, STEPS_MAX)
}

/// Checks every key of a history, looking at no more than so many states of each.
pub fn check_within(history: &History, steps_max: u64) -> Report {
    let mut report = Report::default();
    for (key, operations) in history.by_key() {
        report.keys += 1;
        report.operations += operations.len();
        let (verdict, steps) = search(&Puzzle::new(&operations, |_| true), steps_max);
        report.steps += steps;
        match verdict {
            Verdict::Explained => {}
            Verdict::Contradiction => report.violations.push(violation(key, &operations, steps_max)),
            Verdict::Undecided => {
                report.undecided.push(Undecided { key: key.to_owned(), operations: operations.len(), steps });
            }
        }
    }
    report
}

/// The answers that contradict each other and, beside them, the writes of the values that they speak of.
fn violation(key: &str, operations: &[&Operation], steps_max: u64) -> Violation {
    let held = conflict::conflict(operations, steps_max);
    let is_held = |place: usize| held.binary_search(&place).is_ok();
    let shown: Vec<&Operation> = held.iter().map(|&place| operations[place]).collect();
    let speaks_of = |value: &str| {
        shown.iter().any(|one| matches!(&one.outcome, crate::Outcome::Found { value: found, .. } if found == value))
    };
    let context = operations
        .iter()
        .enumerate()
        .filter(|&(place, operation)| !is_held(place) && operation.written_value().is_some_and(speaks_of));
    let what = match shown.len() {
        1 => format!("no order of its {} operations explains this answer", operations.len()),
        answers => format!("no order of its {} operations explains these {answers} answers", operations.len()),
    };
    Violation::new(PROMISE, key, what, shown.iter().copied()).with_context(context.map(|(_, operation)| *operation))
}

impl fmt::Display for Undecided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, operations, steps } = self;
        write!(
            f,
            "{PROMISE}: key {key:?}: undecided after {steps} steps over {operations} operations: spread the clients over more \
             keys, or allow more steps"
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (violations, undecided) = (self.violations.len(), self.undecided.len());
        write!(
            f,
            "{PROMISE}: {} operations on {} keys: {violations} keys violated, {undecided} undecided",
            self.operations, self.keys
        )?;
        self.violations.iter().try_for_each(|violation| write!(f, "\n{violation}"))?;
        self.undecided.iter().try_for_each(|undecided| write!(f, "\n{undecided}"))
    }
}
