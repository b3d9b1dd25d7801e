//! Plans as tests begin with them.

use super::*;

pub(crate) const HERE: NodeId = NodeId(1);
pub(crate) const THERE: NodeId = NodeId(2);

pub(crate) fn rules(retries: u32) -> Rules {
    Rules { owner: HERE, retries, timeout_us: Some(1_000), unrecorded_max: 4, num_threads: 64, hedges: false }
}

/// Where examples may take as long as they do.
pub(crate) fn without_limit(num_threads: usize) -> Rules {
    Rules { timeout_us: None, unrecorded_max: 8, num_threads, ..rules(1) }
}

/// `threads`: of each worker, the first of which is 1.
pub(crate) fn plan(retries: u32, examples: u32, threads: &[usize]) -> Plan {
    let mut plan = Plan::new(rules(retries), 0..examples);
    (1..).zip(threads).for_each(|(key, &threads)| plan.worker_joined(key, HERE, threads));
    plan
}

/// With one worker, 1, which has been given what it takes.
pub(crate) fn begun(retries: u32, examples: u32, threads: usize) -> Plan {
    let mut plan = plan(retries, examples, &[threads]);
    plan.assign(0);
    plan
}

/// Ten examples of 1 ms each, and two that were given to each of the workers.
pub(crate) fn near_the_end(hedges: bool) -> Plan {
    let rules = Rules { unrecorded_max: 100, hedges, ..without_limit(4) };
    let mut plan = Plan::new(rules, 0..12);
    plan.worker_joined(1, HERE, 2);
    plan.worker_joined(2, THERE, 2);
    let mut done = 0;
    while done < 10 {
        for (key, index) in given(&plan.assign(0)) {
            if index < 10 {
                assert!(plan.finished(key, index, 1_000, 0));
                done += 1;
            }
        }
    }
    plan.assign(0);
    assert_eq!((plan.waiting(), plan.in_flight()), (0, 2));
    plan
}

pub(crate) fn given(orders: &BTreeMap<WorkerKey, Vec<Assignment>>) -> Vec<(WorkerKey, u32)> {
    orders.iter().flat_map(|(&key, held)| held.iter().map(move |one| (key, one.index))).collect()
}

pub(crate) fn holder(plan: &Plan, index: u32) -> WorkerKey {
    let holds = |worker: &Worker| worker.assigned.iter().any(|held| held.assignment.index == index);
    *plan.workers.iter().find(|(_, worker)| holds(worker)).expect("somebody has it").0
}

pub(crate) fn slots(plan: &Plan) -> Vec<usize> {
    plan.workers.values().map(|worker| worker.threads).collect()
}
