//! The plan by its promises, and a simulation that kills workers at random.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::hedging::Hedge;
use super::*;

#[path = "tests/lost_results.rs"]
mod lost_results;
#[path = "tests/plans.rs"]
pub(crate) mod plans;
#[path = "tests/stragglers.rs"]
mod stragglers;

use plans::*;

#[test]
fn the_last_examples_are_spread_evenly() {
    let mut plan = plan(1, 3, &[4, 4]);
    assert_eq!(given(&plan.assign(0)), [(1, 0), (1, 2), (2, 1)]);
}

#[test]
fn no_more_is_in_flight_than_threads_before_durations_are_known() {
    let mut plan = plan(1, 100, &[3]);
    assert_eq!(given(&plan.assign(0)).len(), 3);
    assert!(plan.assign(0).is_empty());
}

#[test]
fn results_that_are_not_on_disk_hold_back_new_work() {
    let mut plan = plan(1, 100, &[1]);
    let mut executed = 0;
    while let Some((key, index)) = given(&plan.assign(executed)).first().copied() {
        executed += 1;
        plan.finished(key, index, 1_000_000, executed);
    }
    assert_eq!(executed, 5, "one thread and four unrecorded");
    plan.recorded(5);
    assert!(!plan.assign(9).is_empty());
}

#[test]
fn a_node_whose_results_wait_for_its_disk_does_not_take_the_room_of_the_others() {
    let mut plan = plan(1, 100, &[1]);
    plan.worker_joined(2, THERE, 1);
    let mut executed = [0, 0];
    for now_us in 0..20 {
        for (key, index) in given(&plan.assign(now_us)) {
            plan.finished(key, index, 1_000_000, now_us);
            executed[key as usize - 1] += 1;
            // The other node's disk is quick.
            plan.recorded_at(THERE, 1);
        }
    }
    assert_eq!(executed[0], 5, "one thread and four unrecorded");
    assert!(executed[1] >= 20, "{executed:?}");
}

#[test]
fn results_that_are_lost_with_their_node_run_again_and_hold_nothing_back_any_more() {
    let mut plan = plan(1, 7, &[1]);
    for now_us in 0..5 {
        let (key, index) = given(&plan.assign(now_us))[0];
        plan.finished(key, index, 1_000_000, now_us);
    }
    assert!(plan.assign(6).is_empty(), "one thread and four unrecorded");
    // Of five results the log has three.
    plan.results_lost(HERE, 5, [1, 3]);
    let mut order = Vec::new();
    while let Some((key, index)) = given(&plan.assign(7)).first().copied() {
        order.push(index);
        plan.finished(key, index, 1_000_000, 7);
        plan.recorded(1);
    }
    order.sort_unstable();
    assert_eq!(order, [1, 3, 5, 6]);
}

#[test]
fn a_held_plan_gives_nothing_out_and_has_run_out_when_all_has_come_back() {
    let mut plan = plan(1, 10, &[2, 1]);
    assert_eq!(given(&plan.assign(0)), [(1, 0), (1, 2), (2, 1)]);
    assert!(!plan.has_run_out());
    plan.hold();
    plan.finished(1, 0, 10, 1);
    assert!(plan.assign(2).is_empty() && !plan.has_run_out());
    // What dies meanwhile waits for the resume like all the rest, and no worker is started for it.
    assert_eq!(plan.worker_ended(2, Cause::Crash), []);
    assert_eq!((plan.waiting(), plan.assign(3).len()), (0, 0));
    assert!(!plan.has_run_out());
    plan.finished(1, 2, 10, 4);
    assert!(plan.has_run_out());
}

#[test]
fn what_is_left_is_kept_for_another_owner_and_idle_is_when_the_log_has_all_that_was_given_out() {
    let mut plan = plan(1, 10, &[2]);
    assert_eq!(plan.assign(0).len(), 1);
    plan.keep(true);
    assert!(plan.is_kept() && !plan.is_idle());
    plan.finished(1, 0, 1_000_000, 1);
    plan.finished(1, 1, 1_000_000, 1);
    assert!(plan.assign(2).is_empty() && plan.hedge(2).is_empty());
    assert!(!plan.is_idle(), "the results are on their way");
    plan.recorded(2);
    assert!(plan.is_idle() && !plan.is_exhausted());
    // No worker is started for what is kept, and it is no pause: the run does not end for it.
    assert_eq!((plan.waiting(), plan.has_run_out()), (0, false));
    assert_eq!(plan.worker_ended(1, Cause::Node), []);
    plan.keep(false);
    plan.worker_joined(2, THERE, 1);
    assert_eq!((plan.waiting(), given(&plan.assign(3))), (8, vec![(2, 2)]), "it goes on where it was");
}

#[test]
fn a_plan_that_is_not_held_never_runs_out() {
    let mut plan = begun(1, 1, 1);
    plan.finished(1, 0, 10, 1);
    plan.recorded(1);
    assert!(!plan.has_run_out(), "the log ends the run");
}

#[test]
fn examples_of_a_dead_worker_run_again_one_to_a_worker_and_uncharged() {
    let mut plan = begun(1, 4, 4);
    assert_eq!(plan.worker_ended(1, Cause::Crash), []);
    plan.worker_joined(2, HERE, 4);
    plan.worker_joined(3, HERE, 4);
    assert_eq!(given(&plan.assign(1)), [(2, 0), (3, 1)]);
    assert!(plan.assign(2).is_empty(), "each is alone");
    plan.finished(2, 0, 10, 3);
    assert_eq!(given(&plan.assign(4)), [(2, 2)]);
}

#[test]
fn only_an_example_that_was_alone_is_charged_and_fails_after_its_retries() {
    let mut plan = begun(1, 2, 2);
    plan.worker_ended(1, Cause::Crash);
    for (key, lost) in [(2, false), (3, true)] {
        plan.worker_joined(key, HERE, 2);
        assert_eq!(given(&plan.assign(0)).len(), 1);
        let held = plan.workers[&key].assigned[0].assignment;
        plan.solo.rotate_left(1);
        let verdicts = plan.worker_ended(key, Cause::Crash);
        assert_eq!(verdicts == [Verdict::WorkerLost(held)], lost, "worker {key}");
        plan.solo.rotate_left(usize::from(plan.solo.len() > 1));
    }
}

#[test]
fn without_retries_nothing_that_was_in_flight_runs_again() {
    let mut plan = begun(0, 5, 3);
    assert_eq!(plan.worker_ended(1, Cause::Crash).len(), 3);
    assert_eq!(plan.waiting(), 2);
}

#[test]
fn a_deadline_fails_its_example_and_spares_the_neighbours() {
    let mut plan = begun(1, 3, 2);
    plan.finished(1, 0, 500_000, 600);
    plan.assign(600);
    assert_eq!(plan.overdue(999), []);
    assert_eq!(plan.overdue(1_000), [(1, 1)]);
    let verdicts = plan.worker_ended(1, Cause::Deadline { index: 1 });
    assert_eq!(verdicts, [Verdict::TimedOut(Assignment { index: 1, attempt: 1 })]);
    plan.worker_joined(2, HERE, 2);
    assert_eq!(given(&plan.assign(1_100)), [(2, 2)]);
}

#[test]
fn an_example_that_waits_in_the_worker_does_not_age() {
    let mut plan = Plan::new(Rules { unrecorded_max: 100, ..rules(1) }, 0..10);
    plan.worker_joined(1, HERE, 1);
    plan.assign(0);
    plan.finished(1, 0, 1, 0);
    plan.recorded(1);
    assert!(plan.assign(0).len() == 1 && plan.in_flight() > 2);
    assert_eq!(plan.running_for(5_000, 1_000), [(1, 1)]);
    plan.finished(1, 1, 1, 5_000);
    assert_eq!(plan.running_for(5_500, 1_000), []);
}

#[test]
fn deaths_that_are_the_nodes_doing_are_never_charged() {
    let mut plan = plan(1, 1, &[]);
    for key in 1..20 {
        plan.worker_joined(key, HERE, 1);
        assert_eq!(plan.assign(0).len(), 1);
        assert_eq!(plan.worker_ended(key, Cause::Node), []);
    }
}

#[test]
fn an_example_that_always_sees_its_zygote_end_is_charged_in_the_end() {
    let mut plan = plan(1, 1, &[]);
    let mut deaths = 0;
    while plan.waiting() > 0 {
        deaths += 1;
        plan.worker_joined(deaths, HERE, 1);
        plan.assign(0);
        plan.worker_ended(deaths, Cause::Zygote);
    }
    assert_eq!(deaths, u64::from(ZYGOTE_DEATHS_MAX) + 2, "one execution and one retry are charged");
}

#[test]
fn examples_of_a_worker_that_does_not_answer_are_tried_alone_before_one_is_blamed() {
    let mut plan = begun(1, 3, 3);
    assert!(!plan.is_alone(1));
    assert_eq!(plan.worker_ended(1, Cause::Unresponsive { index: 0 }), []);
    plan.worker_joined(2, HERE, 3);
    assert_eq!(given(&plan.assign(0)), [(2, 0)]);
    assert!(plan.is_alone(2));
    let late = Assignment { index: 0, attempt: 2 };
    assert_eq!(plan.worker_ended(2, Cause::Unresponsive { index: 0 }), [Verdict::TimedOut(late)]);
}

#[test]
fn without_retries_a_worker_that_does_not_answer_times_out_and_its_neighbours_are_lost() {
    let mut plan = begun(0, 2, 2);
    let held = |index| Assignment { index, attempt: 1 };
    let verdicts = plan.worker_ended(1, Cause::Unresponsive { index: 1 });
    assert_eq!(verdicts, [Verdict::WorkerLost(held(0)), Verdict::TimedOut(held(1))]);
}

#[test]
fn a_report_about_an_example_that_the_worker_does_not_hold_counts_for_nothing() {
    let mut plan = begun(1, 2, 1);
    assert!(!plan.finished(1, 1, 1, 0));
    assert!(!plan.finished(7, 0, 1, 0));
    assert!(plan.finished(1, 0, 1, 0));
    assert!(!plan.finished(1, 0, 1, 0), "a second report of the same example");
}

#[test]
fn workers_that_are_there_stand_in_for_missing_ones_while_enough_is_left() {
    let rules = Rules { timeout_us: None, unrecorded_max: 1000, num_threads: 12, ..rules(1) };
    let mut plan = Plan::new(rules, 0..100);
    plan.worker_joined(1, HERE, 4);
    assert_eq!(plan.share_out(3), [(1, 12)]);
    assert_eq!(given(&plan.assign(0)).len(), 12);
    plan.worker_joined(2, THERE, 4);
    assert_eq!(plan.share_out(3), [(1, 6), (2, 6)]);
    assert!(plan.assign(0).is_empty(), "no more than the run's threads, whoever has them");
    plan.finished(1, 0, 1_000_000, 1);
    assert_eq!(given(&plan.assign(1)), [(2, 12)]);
    plan.worker_joined(3, THERE, 4);
    plan.share_out(3);
    assert_eq!(slots(&plan), [4, 4, 4]);
    plan.worker_ended(3, Cause::Node);
    assert_eq!(plan.share_out(3), [(1, 6), (2, 6)], "until it is replaced");
}

#[test]
fn nobody_stands_in_near_the_end_under_a_deadline_or_without_retries() {
    let few = Rules { timeout_us: None, num_threads: 12, ..rules(1) };
    let late = Rules { timeout_us: Some(1), ..few };
    let once = Rules { retries: 0, ..few };
    for (rules, examples) in [(few, 30), (late, 100), (once, 100)] {
        let mut plan = Plan::new(rules, 0..examples);
        plan.worker_joined(1, HERE, 4);
        assert_eq!(plan.share_out(3), []);
        assert_eq!(slots(&plan), [4]);
    }
}

#[test]
fn a_worker_with_one_thread_keeps_it_and_the_others_have_the_rest() {
    let mut plan = Plan::new(Rules { num_threads: 8, timeout_us: None, ..rules(1) }, 0..500);
    for (key, threads) in [(1, 2), (2, 2), (3, 1), (4, 1), (5, 1), (6, 1)] {
        plan.worker_joined(key, HERE, threads);
    }
    assert_eq!(plan.share_out(6), []);
    plan.worker_leaving(1);
    assert_eq!(plan.share_out(6), [(2, 4)]);
}

#[test]
fn a_straggler_is_executed_once_more_on_another_node_and_the_first_result_counts() {
    let mut plan = near_the_end(true);
    assert_eq!(plan.hedge(999_999), [], "not far longer than the others");
    let (first, other) = (holder(&plan, 10), holder(&plan, 11));
    plan.finished(other, 11, 1_000, 0);
    let hedges = plan.hedge(1_000_000);
    let second = 3 - first;
    let expected = Hedge { worker: second, assignment: Assignment { index: 10, attempt: 2 }, for_us: 1_000_000 };
    assert_eq!(hedges, [expected]);
    assert_eq!(plan.hedge(9_000_000), [], "once");
    assert_eq!(plan.in_flight(), 2);
    assert!(plan.finished(second, 10, 500, 1_500_000));
    assert_eq!((plan.in_flight(), plan.waiting()), (0, 0), "nobody waits for the other execution");
    assert_eq!(plan.running_for(9_000_000, 1), [], "nor is it late");
    assert_eq!(plan.worker_ended(first, Cause::Crash), [], "nor does it run again");
    assert_eq!(plan.waiting(), 0);
}

#[test]
fn what_waits_in_a_worker_that_stands_still_is_executed_elsewhere_too() {
    let mut plan = near_the_end(true);
    let (stuck, index) = (holder(&plan, 10), 10);
    plan.finished(3 - stuck, 11, 1_000, 0);
    // One thread, and two examples more that wait for it.
    let worker = plan.workers.get_mut(&stuck).expect("it is there");
    worker.threads = 1;
    for index in [20, 21] {
        worker.assigned.push_back(Running { assignment: Assignment { index, attempt: 1 }, since_us: None });
    }
    let hedged: Vec<u32> = plan.hedge(2_000_000).iter().map(|hedge| hedge.assignment.index).collect();
    assert_eq!(hedged, [index, 20], "as many as there are free threads");
    plan.finished(3 - stuck, 20, 1_000, 2_100_000);
    assert_eq!(plan.hedge(2_200_000).iter().map(|hedge| hedge.assignment.index).collect::<Vec<_>>(), [21]);
}

#[test]
fn the_loss_of_one_of_two_executions_is_nothing_and_that_of_both_is_a_loss() {
    let mut plan = near_the_end(true);
    let (first, other) = (holder(&plan, 10), holder(&plan, 11));
    plan.finished(other, 11, 1_000, 0);
    plan.hedge(2_000_000);
    assert_eq!((plan.worker_ended(first, Cause::Node), plan.waiting()), (vec![], 0));
    assert_eq!((plan.worker_ended(3 - first, Cause::Node), plan.waiting()), (vec![], 1));
}

#[test]
fn nothing_is_executed_twice_where_that_is_not_wanted_or_while_there_is_something_else_to_do() {
    assert_eq!(near_the_end(false).hedge(9_000_000), []);
    let mut plan = near_the_end(true);
    plan.pending.push_back(99);
    assert_eq!(plan.hedge(9_000_000), []);
    plan.pending.clear();
    // Both threads of every other node are taken.
    for worker in plan.workers.values_mut() {
        worker.site = HERE;
    }
    assert_eq!(plan.hedge(9_000_000), []);
}

#[test]
fn a_plan_is_exhausted_when_only_the_log_can_go_on() {
    let mut plan = plan(1, 1, &[1]);
    assert!(!plan.is_exhausted());
    plan.assign(0);
    assert!(!plan.is_exhausted());
    plan.finished(1, 0, 10, 1);
    assert!(plan.is_exhausted() && plan.has_unrecorded());
    plan.recorded(1);
    assert!(plan.is_exhausted() && !plan.has_unrecorded());
}

proptest! {
    /// Whatever dies when: every example ends exactly once, and an innocent one always with a result.
    #[test]
    fn every_example_ends_exactly_once(
        examples in 1u32..40,
        poison in proptest::collection::btree_set(0u32..40, 0..3),
        choices in proptest::collection::vec(0u8..=255, 400),
        threads in 1usize..5,
    ) {
        let mut plan = Plan::new(without_limit(2 * threads), 0..examples);
        let (mut done, mut lost) = (BTreeSet::new(), BTreeSet::new());
        let mut next_key = 0;
        let mut choice = choices.into_iter().cycle();
        let mut now_us = 0;
        for _ in 0..10_000 {
            now_us += 100;
            while plan.workers.len() < 2 {
                next_key += 1;
                plan.worker_joined(next_key, HERE, threads);
            }
            plan.assign(now_us);
            let Some((&key, worker)) = plan.workers.iter().find(|(_, worker)| !worker.assigned.is_empty()) else { break };
            let running: Vec<u32> = worker.assigned.iter().take(threads).map(|held| held.assignment.index).collect();
            let dies = running.iter().any(|index| poison.contains(index));
            if dies || choice.next().unwrap_or(0) < 5 {
                let cause = if dies { Cause::Crash } else { Cause::Node };
                for verdict in plan.worker_ended(key, cause) {
                    let (Verdict::WorkerLost(held) | Verdict::TimedOut(held)) = verdict;
                    prop_assert!(lost.insert(held.index));
                    plan.recorded(1);
                }
            } else {
                prop_assert!(plan.finished(key, running[0], 50, now_us));
                prop_assert!(done.insert(running[0]));
                plan.recorded(1);
            }
        }
        prop_assert_eq!(plan.waiting() + plan.in_flight(), 0, "nothing is left over");
        let expected: BTreeSet<u32> = poison.into_iter().filter(|index| *index < examples).collect();
        prop_assert_eq!(&lost, &expected, "only the poisonous are lost");
        prop_assert_eq!(done.len() + lost.len(), examples as usize);
    }
}
