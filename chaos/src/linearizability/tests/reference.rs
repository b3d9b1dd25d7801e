//! The search against the definition itself: every order is tried, with nothing clever about it.

use std::cell::Cell;

use proptest::prelude::*;

use crate::control::Register;
use crate::linearizability::check;
use crate::story::{nearly_right, small_operation};
use crate::{Operation, Outcome};

/// Whether some order of some of the operations explains every answer.
fn has_order(operations: &[Operation]) -> bool {
    fn extend(register: &Register, left: &[Operation]) -> bool {
        if left.iter().all(|operation| matches!(operation.outcome, Outcome::Unknown { .. })) {
            return true;
        }
        let is_next = |operation: &Operation| left.iter().all(|other| other.ends_ns() >= operation.invoked_ns);
        (0..left.len()).filter(|&place| is_next(&left[place])).any(|place| {
            let operation = &left[place];
            let mut register = register.clone();
            let outcome = register.apply(&operation.action);
            let fits = outcome == operation.outcome || matches!(operation.outcome, Outcome::Unknown { .. });
            let rest: Vec<Operation> = [&left[..place], &left[place + 1..]].concat();
            fits && extend(&register, &rest)
        })
    }
    let happened = operations.iter().filter(|operation| !matches!(operation.outcome, Outcome::Refused { .. }));
    extend(&Register::default(), &happened.cloned().collect::<Vec<_>>())
}

fn same_verdict(cases: u32, histories: impl Strategy<Value = Vec<Operation>>) -> (u32, u32) {
    let (legal, illegal) = (Cell::new(0), Cell::new(0));
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let verdict = runner.run(&histories, |operations| {
        let expected = has_order(&operations);
        let count = if expected { &legal } else { &illegal };
        count.set(count.get() + 1);
        let report = check(&crate::story::history(operations));
        prop_assert!(report.undecided.is_empty());
        prop_assert_eq!(report.is_linearizable(), expected, "{}", report);
        Ok(())
    });
    if let Err(failure) = verdict {
        panic!("{failure}");
    }
    (legal.get(), illegal.get())
}

#[test]
fn the_search_says_of_any_small_history_what_trying_every_order_says() {
    let (legal, illegal) = same_verdict(20_000, prop::collection::vec(small_operation(), 1..6));
    eprintln!("any: {legal} legal, {illegal} illegal");
    assert!(legal > 500 && illegal > 500, "{legal} legal, {illegal} illegal: too few to tell");
}

#[test]
fn the_search_says_of_nearly_right_histories_what_trying_every_order_says() {
    let (legal, illegal) = same_verdict(20_000, nearly_right(10, 7));
    eprintln!("nearly right: {legal} legal, {illegal} illegal");
    assert!(legal > 500 && illegal > 500, "{legal} legal, {illegal} illegal: too few to tell");
}

#[test]
fn the_search_says_of_histories_with_many_unknown_outcomes_what_trying_every_order_says() {
    let (legal, illegal) = same_verdict(20_000, nearly_right(4, 7));
    eprintln!("many unknown: {legal} legal, {illegal} illegal");
    assert!(legal > 500 && illegal > 500, "{legal} legal, {illegal} illegal: too few to tell");
}
