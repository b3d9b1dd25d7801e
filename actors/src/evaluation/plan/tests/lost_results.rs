//! Results that did not get into the log.

use super::super::lost_results::GivenUp;
use super::*;

/// One of two examples is executed, and its result was on its way.
fn executed_one_of_two(retries: u32) -> Plan {
    let mut plan = begun(retries, 2, 1);
    assert!(plan.finished(1, 0, 1_000_000, 1));
    plan
}

#[test]
fn a_result_that_is_lost_with_its_node_has_not_failed_before_it_is_given_up_where_nothing_runs_again() {
    let mut plan = executed_one_of_two(0);
    plan.results_lost(HERE, 1, [0]);
    assert_eq!((plan.has_unrecorded(), plan.waiting()), (false, 1), "it may come yet");
    assert_eq!(given(&plan.assign(2)), [(1, 1)], "its neighbours go on");
    plan.finished(1, 1, 10, 3);
    plan.recorded(1);
    assert!(plan.is_exhausted(), "nothing runs again");
    let verdicts = vec![Verdict::WorkerLost(Assignment { index: 0, attempt: 1 })];
    assert_eq!(plan.given_up([0]), GivenUp { again: 0, verdicts });
    assert_eq!((plan.waiting(), plan.has_unrecorded()), (0, true), "the failure is on its way");
}

#[test]
fn nothing_is_executed_a_second_time_without_retries_however_long_the_log_waits() {
    let mut plan = executed_one_of_two(0);
    for _ in 0..3 {
        assert_eq!(plan.given_up([0]).again, 0);
    }
    assert_eq!(given(&plan.assign(2)), [(1, 1)]);
}

#[test]
fn results_that_nobody_has_any_more_run_again_first() {
    let mut plan = begun(1, 9, 2);
    plan.finished(1, 0, 1_000_000, 0);
    plan.assign(0);
    // 0 is executed and lost, 1 and 2 are under way, 5 waits.
    assert_eq!(plan.given_up([0, 1, 2, 5]), GivenUp { again: 1, verdicts: vec![] });
    plan.finished(1, 1, 1_000_000, 0);
    assert_eq!(given(&plan.assign(0)), [(1, 0)]);
}
