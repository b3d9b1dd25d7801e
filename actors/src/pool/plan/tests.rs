use proptest::prelude::*;

use super::placing::BACKLOG_MAX;
use super::worker::STALLED_US;
use super::*;

fn terms(retries: u32) -> Terms {
    Terms { command: 0, queue_deadline_us: 5_000_000, queue_limit_us: 5_000_000, limit_us: 30_000_000, retries }
}

fn plan(workers: u64, calls: u64, retries: u32) -> Plan {
    let mut plan = Plan::new(2);
    assert_eq!(plan.command("ping"), 0);
    (0..workers).for_each(|key| plan.worker_joined(key, 1));
    (0..calls).for_each(|call| plan.enqueue(call, terms(retries)));
    plan
}

fn calls_of(orders: &BTreeMap<WorkerKey, Vec<Assignment>>, key: WorkerKey) -> Vec<CallId> {
    orders.get(&key).map(|orders| orders.iter().map(|order| order.call).collect()).unwrap_or_default()
}

fn assign(plan: &mut Plan, now_us: u64) -> BTreeMap<WorkerKey, Vec<Assignment>> {
    plan.assign(now_us, |_| true)
}

fn waited(duration_us: u64) -> Took {
    Took { duration_us, cpu_us: None }
}

/// A plan for two CPUs whose command only computes, and takes so long with a CPU for itself.
fn computing(workers: u64, calls: u64, cpu_us: u64) -> Plan {
    let mut plan = plan(workers, 0, 1);
    plan.enqueue(1_000_000, terms(1));
    assign(&mut plan, 0);
    // As it looks beside others: most of the time it waited for a CPU.
    assert!(plan.finished(0, 1_000_000, Took { duration_us: 8 * cpu_us, cpu_us: Some(cpu_us) }, 0));
    (0..calls).for_each(|call| plan.enqueue(call, terms(1)));
    plan
}

/// A plan whose command is known to take so long.
fn measured(workers: u64, calls: u64, duration_us: u64) -> Plan {
    let mut plan = plan(workers, 0, 1);
    plan.enqueue(1_000_000, terms(1));
    let orders = assign(&mut plan, 0);
    let (&key, _) = orders.first_key_value().expect("a worker");
    assert!(plan.finished(key, 1_000_000, waited(duration_us), 0));
    (0..calls).for_each(|call| plan.enqueue(call, terms(1)));
    plan
}

#[test]
fn calls_are_given_out_in_the_order_in_which_they_came() {
    let mut plan = plan(2, 4, 1);
    let orders = assign(&mut plan, 0);
    assert_eq!((calls_of(&orders, 0), calls_of(&orders, 1)), (vec![0], vec![1]));
    assert!(plan.finished(1, 1, waited(100_000), 10));
    assert_eq!(calls_of(&assign(&mut plan, 10), 1), [2]);
    assert!(!plan.finished(0, 1, waited(5), 10), "not its call");
}

#[test]
fn quick_calls_wait_in_the_workers_and_slow_ones_in_the_queue() {
    let orders = assign(&mut measured(2, 100, 10), 0);
    assert_eq!((calls_of(&orders, 0).len(), calls_of(&orders, 1).len()), (50, 50));
    let orders = assign(&mut measured(2, 100, 100_000), 0);
    assert_eq!((calls_of(&orders, 0).len(), calls_of(&orders, 1).len()), (1, 1));
    let orders = assign(&mut measured(1, 500, 1), 0);
    assert_eq!(calls_of(&orders, 0).len(), BACKLOG_MAX + 1);
}

#[test]
fn quick_calls_that_only_compute_go_to_as_many_workers_as_there_are_cpus() {
    let mut plan = computing(8, 100, 1_000);
    let orders = assign(&mut plan, 0);
    let held: Vec<usize> = orders.values().map(Vec::len).collect();
    assert_eq!(held, [5, 5], "two workers, and as much as 5 ms of computing in each");
    assert_eq!(plan.occupancy().queued, 90);
    assert!(plan.finished(0, 0, Took { duration_us: 9_000, cpu_us: Some(1_000) }, 100));
    assert_eq!(calls_of(&assign(&mut plan, 100), 0), [10], "one more for one less");
}

#[test]
fn what_turns_out_to_be_slow_leaves_its_cpu_to_others() {
    let mut plan = computing(8, 100, 1_000);
    assign(&mut plan, 0);
    // Five calls of a millisecond each could come back together.
    let late = 5_000 + STALLED_US;
    assert!(assign(&mut plan, late - 1).is_empty());
    let orders = assign(&mut plan, late);
    assert_eq!(orders.keys().copied().collect::<Vec<_>>(), [2, 3], "the first two are slow");
}

#[test]
fn calls_that_wait_for_others_pass_those_that_wait_for_a_cpu() {
    let mut plan = computing(8, 100, 1_000);
    assert_eq!(plan.command("ask"), 1);
    (100..103).for_each(|call| plan.enqueue(call, Terms { command: 1, ..terms(1) }));
    let orders = assign(&mut plan, 0);
    let passed: Vec<CallId> = orders.values().flatten().map(|order| order.call).filter(|call| *call >= 100).collect();
    assert_eq!(passed, [100, 101, 102]);
    assert_eq!(orders.len(), 5, "two that compute, three that wait");
    // The others keep their order, and expire like any that wait.
    assert!(plan.finished(0, 0, Took { duration_us: 1_000, cpu_us: Some(1_000) }, 100));
    assert_eq!(calls_of(&assign(&mut plan, 100), 0), [10]);
    assert_eq!(plan.expired(5_000_000).len(), 89);
    assert_eq!(plan.occupancy().queued, 0);
}

#[test]
fn while_a_call_must_run_alone_one_worker_is_kept_for_it_and_the_others_go_on() {
    let mut plan = Plan::new(2);
    assert_eq!(plan.command("ask"), 0);
    (0..3).for_each(|key| plan.worker_joined(key, 2));
    (0..6).for_each(|call| plan.enqueue(call, terms(1)));
    assert_eq!(assign(&mut plan, 0).len(), 3);
    // One dies with two calls; the two others are busy and never both empty.
    assert!(plan.worker_ended(0, Cause::Crash, 0).is_empty());
    (10..14).for_each(|call| plan.enqueue(call, terms(1)));
    assert!(assign(&mut plan, 0).is_empty());
    let first = plan.workers[&1].assigned[0].call;
    assert!(plan.finished(1, first, waited(100_000), 10));
    let second = plan.workers[&2].assigned[0].call;
    assert!(plan.finished(2, second, waited(100_000), 10));
    let orders = assign(&mut plan, 10);
    let given: Vec<(WorkerKey, CallId)> =
        orders.iter().flat_map(|(&key, orders)| orders.iter().map(move |order| (key, order.call))).collect();
    assert_eq!(given.len(), 1, "one is kept and gets nothing: {given:?}");
    assert_eq!(given[0].1, 10, "the queue goes on");
    let kept = if given[0].0 == 1 { 2 } else { 1 };
    let last = plan.workers[&kept].assigned[0].call;
    assert!(plan.finished(kept, last, waited(100_000), 20));
    let orders = assign(&mut plan, 20);
    assert_eq!(orders[&kept].len(), 1, "alone");
    assert!(orders[&kept][0].call < 6, "and it is one of those that saw a death");
}

#[test]
fn a_call_that_runs_again_waits_no_longer_than_it_might_have_at_first() {
    let mut plan = plan(1, 1, 1);
    assign(&mut plan, 0);
    assert!(plan.worker_ended(0, Cause::Crash, 7_000_000).is_empty());
    assert!(plan.expired(11_999_999).is_empty());
    assert_eq!(plan.expired(12_000_000), [0]);
    assert_eq!(plan.occupancy().queued, 0);
}

#[test]
fn a_call_that_is_taken_back_is_gone() {
    let mut plan = plan(0, 2, 1);
    plan.withdraw(&[0]);
    assert_eq!(plan.occupancy().queued, 1);
    assert_eq!(plan.expired(5_000_000), [1]);
}

#[test]
fn slow_calls_and_those_that_wait_for_others_get_a_worker_each() {
    let slow = assign(&mut computing(8, 8, STALLED_US), 0);
    assert_eq!(slow.len(), 8);
    let waiting = assign(&mut measured(8, 8, 100), 0);
    assert_eq!(waiting.len(), 8);
}

#[test]
fn a_call_that_may_not_run_again_never_waits_in_a_worker() {
    let mut plan = measured(1, 0, 10);
    (0..3).for_each(|call| plan.enqueue(call, terms(0)));
    assert_eq!(calls_of(&assign(&mut plan, 0), 0), [0]);
    assert_eq!(
        plan.worker_ended(0, Cause::Crash, 0),
        [Verdict::WorkerLost { call: 0, attempt: 1 }],
        "unknown counts as failed"
    );
}

#[test]
fn after_a_death_calls_run_alone_and_only_one_that_was_alone_is_charged() {
    let mut plan = measured(1, 3, 10);
    assert_eq!(calls_of(&assign(&mut plan, 0), 0), [0, 1, 2]);
    assert!(plan.worker_ended(0, Cause::Crash, 0).is_empty());
    for attempt in [2, 3] {
        plan.worker_joined(attempt, 1);
        let orders = assign(&mut plan, 0);
        let (&key, held) = orders.first_key_value().expect("one");
        assert_eq!(held.len(), 1, "alone");
        plan.worker_ended(key, Cause::Crash, 0);
        plan.solo.rotate_right(1);
    }
    // The call that was alone at two deaths has failed; the others were never charged.
    assert_eq!(plan.occupancy().queued, 2);
}

#[test]
fn a_call_past_its_limit_fails_and_its_neighbours_run_again() {
    let mut plan = measured(1, 3, 10);
    assign(&mut plan, 0);
    assert!(plan.overdue(29_999_999).is_empty());
    assert_eq!(plan.overdue(30_000_000), [(0, 0)]);
    let verdicts = plan.worker_ended(0, Cause::Deadline { call: 0 }, 0);
    assert_eq!(verdicts, [Verdict::TimedOut { call: 0, limit_us: 30_000_000 }]);
    assert_eq!(plan.occupancy().queued, 2);
}

#[test]
fn what_waits_behind_a_slow_call_is_given_back_when_another_worker_is_free() {
    let mut plan = measured(1, 4, 10);
    assign(&mut plan, 0);
    assert!(plan.recall(10_000).is_empty(), "nobody else is free");
    plan.worker_joined(7, 1);
    assert!(plan.recall(5_039).is_empty(), "not yet slow: all four could come back together");
    assert_eq!(plan.recall(5_040), [0]);
    assert!(plan.recall(6_000).is_empty(), "asked already");
    plan.returned(0, &[1, 2, 3], 6_000);
    assert_eq!(calls_of(&assign(&mut plan, 6_000), 7), [1, 2, 3]);
    assert_eq!(plan.held_by(0), 1);
}

#[test]
fn a_call_that_waits_too_long_inside_a_worker_is_given_back_and_expires() {
    let mut plan = measured(1, 2, 10);
    plan.enqueue(2, Terms { queue_deadline_us: 20_000, ..terms(1) });
    assert_eq!(calls_of(&assign(&mut plan, 0), 0), [0, 1, 2]);
    assert!(plan.recall(19_999).is_empty());
    assert_eq!(plan.recall(20_000), [0]);
    plan.returned(0, &[1, 2], 20_001);
    assert_eq!(plan.expired(20_001), [2]);
    assert!(
        assign(&mut plan, 20_001).is_empty(),
        "the first call takes longer than expected, so nothing waits behind it"
    );
}

#[test]
fn calls_that_wait_too_long_expire_and_the_others_keep_their_order() {
    let mut plan = plan(0, 0, 1);
    for (call, queue_deadline_us) in [(1, 50), (2, 10), (3, 70)] {
        plan.enqueue(call, Terms { queue_deadline_us, ..terms(1) });
    }
    assert!(plan.expired(9).is_empty());
    assert_eq!(plan.expired(50), [2, 1]);
    plan.worker_joined(0, 1);
    assert_eq!(calls_of(&assign(&mut plan, 60), 0), [3]);
    assert!(plan.expired(80).is_empty(), "what is executed no longer waits");
}

#[test]
fn nobody_executes_what_nobody_waits_for() {
    let mut plan = plan(1, 3, 1);
    let orders = plan.assign(0, |call| call == 2);
    assert_eq!(calls_of(&orders, 0), [2]);
    assert_eq!(plan.occupancy().queued, 0);
}

#[test]
fn a_worker_that_leaves_gets_nothing_more() {
    let mut plan = plan(2, 3, 1);
    plan.worker_leaving(0);
    assert!(calls_of(&assign(&mut plan, 0), 0).is_empty());
    assert_eq!(plan.occupancy(), Occupancy { ready: 2, available: 0, busy: 1, queued: 2, in_flight: 1 });
}

#[derive(Clone, Debug)]
enum Step {
    Enqueue,
    Assign,
    Finish(usize, bool),
    Crash(usize),
    Join,
    Recall,
    Time(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Enqueue),
        4 => Just(Step::Assign),
        6 => (0usize..100, any::<bool>()).prop_map(|(choice, computed)| Step::Finish(choice, computed)),
        1 => (0usize..100).prop_map(Step::Crash),
        1 => Just(Step::Join),
        2 => Just(Step::Recall),
        2 => (1u64..20_000).prop_map(Step::Time),
    ];
    proptest::collection::vec(step, 1..300)
}

proptest! {
    /// Whatever happens, each call is answered exactly once, and none is executed by two workers at once.
    #[test]
    fn each_call_is_answered_once(steps in steps(), retries in 0u32..3) {
        let mut plan = plan(2, 0, retries);
        let (mut next_call, mut next_worker, mut now_us) = (0u64, 2u64, 0u64);
        let mut held: BTreeMap<WorkerKey, Vec<CallId>> = [(0, vec![]), (1, vec![])].into();
        let mut answered: BTreeSet<CallId> = BTreeSet::new();
        for step in steps {
            match step {
                Step::Enqueue => {
                    plan.enqueue(next_call, Terms { queue_deadline_us: u64::MAX, ..terms(retries) });
                    next_call += 1;
                }
                Step::Assign => {
                    for (key, orders) in assign(&mut plan, now_us) {
                        for order in orders {
                            prop_assert!(!held.values().flatten().any(|call| *call == order.call), "in two workers");
                            prop_assert!(!answered.contains(&order.call), "answered already");
                            held.get_mut(&key).expect("a living worker").push(order.call);
                        }
                    }
                }
                Step::Finish(choice, computed) => {
                    let took = Took { duration_us: 10, cpu_us: computed.then_some(10) };
                    let busy: Vec<WorkerKey> =
                        held.iter().filter(|(_, calls)| !calls.is_empty()).map(|(&key, _)| key).collect();
                    if let Some(&key) = busy.get(choice % busy.len().max(1)) {
                        let call = held.get_mut(&key).expect("held").remove(0);
                        prop_assert!(plan.finished(key, call, took, now_us));
                        prop_assert!(answered.insert(call));
                    }
                }
                Step::Crash(choice) => {
                    let keys: Vec<WorkerKey> = held.keys().copied().collect();
                    if let Some(&key) = keys.get(choice % keys.len().max(1)) {
                        held.remove(&key);
                        for verdict in plan.worker_ended(key, Cause::Crash, 0) {
                            let (Verdict::WorkerLost { call, .. } | Verdict::TimedOut { call, .. }) = verdict;
                            prop_assert!(answered.insert(call));
                        }
                    }
                }
                Step::Join => {
                    plan.worker_joined(next_worker, 1);
                    held.insert(next_worker, vec![]);
                    next_worker += 1;
                }
                Step::Recall => {
                    for key in plan.recall(now_us) {
                        let given_back = held.get_mut(&key).expect("held").split_off(1);
                        plan.returned(key, &given_back, now_us);
                    }
                }
                Step::Time(passed) => now_us += passed,
            }
            let Occupancy { queued, in_flight, .. } = plan.occupancy();
            prop_assert_eq!(queued + in_flight + answered.len(), usize::try_from(next_call).expect("few"));
        }
    }
}
