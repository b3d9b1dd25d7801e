//! While a minority of the nodes is broken, the others take writes.

use crate::finding::Finding;
use crate::schedule::Fault;
use crate::{History, Operation, Outcome};

/// A fault from its beginning to its end.
#[derive(Clone, Debug)]
pub struct Span {
    /// When it began, by the clock of the history.
    pub from_ns: u64,
    /// When it was about to be ended.
    pub to_ns: u64,
    /// What it was.
    pub fault: Fault,
}

/// An election, and a client that finds its way, on a busy machine: in a shorter fault there may be no write.
const LEAST_NS: u64 = 8_000_000_000;

/// Looks for an acknowledged write that began and ended within each long fault of a minority.
pub fn check(history: &History, spans: &[Span], nodes: usize) -> Finding {
    let long = |span: &&Span| span.to_ns.saturating_sub(span.from_ns) >= LEAST_NS;
    let minority = |span: &&Span| is_minority(&span.fault, nodes);
    let spans: Vec<&Span> = spans.iter().filter(long).filter(minority).collect();
    let silent = spans.iter().filter(|span| !history.operations().iter().any(|operation| is_within(operation, span)));
    let broken = silent.map(|span| {
        let seconds = (span.to_ns - span.from_ns) / 1_000_000_000;
        format!("no write was acknowledged in the {seconds} s of {}", span.fault)
    });
    let broken = broken.collect();
    Finding::new("goes on", format!("{} long faults of a minority", spans.len()), broken)
}

fn is_minority(fault: &Fault, nodes: usize) -> bool {
    fault.nodes().is_none_or(|broken| broken.len() * 2 < nodes)
}

fn is_within(operation: &Operation, span: &Span) -> bool {
    matches!(operation.outcome, Outcome::Written { .. } | Outcome::Deleted)
        && operation.invoked_ns >= span.from_ns
        && operation.completed_ns <= span.to_ns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Action;

    fn write(from_s: u64, to_s: u64) -> Operation {
        Operation {
            client: 1,
            key: "k".to_owned(),
            action: Action::Create { value: "v".to_owned() },
            invoked_ns: from_s * 1_000_000_000,
            completed_ns: to_s * 1_000_000_000,
            outcome: Outcome::Written { version: 1 },
        }
    }

    #[test]
    fn silence_in_a_long_fault_of_a_minority_is_seen_and_that_of_a_majority_is_not() {
        let span = |fault| [Span { from_ns: 10_000_000_000, to_ns: 19_000_000_000, fault }];
        let judge = |operation, fault| {
            let history = History::new([operation]).expect("valid");
            check(&history, &span(fault), 3).is_kept()
        };
        assert!(judge(write(11, 12), Fault::Kill(vec![1])));
        assert!(!judge(write(9, 12), Fault::Kill(vec![1])));
        assert!(!judge(write(14, 20), Fault::IsolateLeader));
        assert!(judge(write(1, 2), Fault::Kill(vec![1, 2])));
    }
}
