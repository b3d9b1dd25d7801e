//! A promise that was broken, as a person reads it.

use std::fmt;

use crate::Operation;

/// Operations that cannot all have been answered rightly.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The promise, a short name.
    pub promise: &'static str,
    /// The session.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// The operations that contradict the promise, or one another.
    pub operations: Vec<Operation>,
    /// Others that help to see why.
    pub context: Vec<Operation>,
}

impl Violation {
    pub(crate) fn new<'a>(
        promise: &'static str,
        key: &str,
        what: impl Into<String>,
        operations: impl IntoIterator<Item = &'a Operation>,
    ) -> Self {
        let operations = sorted(operations);
        Self { promise, key: key.to_owned(), what: what.into(), operations, context: Vec::new() }
    }

    pub(crate) fn with_context<'a>(self, context: impl IntoIterator<Item = &'a Operation>) -> Self {
        Self { context: sorted(context), ..self }
    }
}

fn sorted<'a>(operations: impl IntoIterator<Item = &'a Operation>) -> Vec<Operation> {
    let mut operations: Vec<Operation> = operations.into_iter().cloned().collect();
    operations.sort_by_key(|operation| (operation.invoked_ns, operation.completed_ns));
    operations
}

impl fmt::Display for Violation {
    /// Times are milliseconds since the first operation that is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: key {:?}: {}", self.promise, self.key, self.what)?;
        let columns = Columns::of(&self.operations.iter().chain(&self.context));
        self.operations.iter().try_for_each(|operation| columns.line(f, operation))?;
        if !self.context.is_empty() {
            f.write_str("\n beside them:")?;
        }
        self.context.iter().try_for_each(|operation| columns.line(f, operation))
    }
}

/// Where the columns of the shown operations begin.
struct Columns {
    start_ns: u64,
    times: usize,
    clients: usize,
    actions: usize,
}

impl Columns {
    fn of<'a>(operations: &(impl Iterator<Item = &'a Operation> + Clone)) -> Self {
        let start_ns = operations.clone().map(|operation| operation.invoked_ns).min().unwrap_or(0);
        let end_ns = operations.clone().map(|operation| operation.completed_ns).max().unwrap_or(0);
        let widest = |width: fn(&Operation) -> usize| operations.clone().map(width).max().unwrap_or(0);
        Self {
            start_ns,
            times: milliseconds(end_ns - start_ns).len(),
            clients: widest(|operation| operation.client.to_string().len()),
            actions: widest(|operation| operation.action.to_string().chars().count()),
        }
    }

    fn line(&self, f: &mut fmt::Formatter<'_>, operation: &Operation) -> fmt::Result {
        let Self { start_ns, times, clients, actions } = self;
        let from = milliseconds(operation.invoked_ns - start_ns);
        let to = milliseconds(operation.completed_ns - start_ns);
        let (client, action, outcome) = (operation.client, operation.action.to_string(), &operation.outcome);
        write!(f, "\n  {from:>times$} .. {to:>times$} ms  client {client:<clients$}  {action:<actions$}  {outcome}")
    }
}

fn milliseconds(nanoseconds: u64) -> String {
    format!("{}.{:03}", nanoseconds / 1_000_000, nanoseconds / 1000 % 1000)
}
