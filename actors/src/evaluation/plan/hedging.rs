//! Stragglers: near the end of a run an example that takes far longer than the others is executed a second time on another
//! node, once. The first result counts; the other execution is waited for by nobody.

use std::collections::{BTreeMap, VecDeque};

use dspex_model::NodeId;

use super::{Assignment, Plan, Running, WorkerKey};

/// Durations that are remembered: the latest.
const REMEMBERED: usize = 64;
/// With fewer nobody knows what is usual.
const KNOWN_MIN: usize = 8;
/// A straggler takes so many times what nine of ten examples take at the most.
const TIMES: u64 = 3;
/// Below this a second execution is not sooner than the first.
const LEAST_US: u64 = 1_000_000;

/// What examples usually take.
#[derive(Clone, Debug, Default)]
pub(super) struct Usual(VecDeque<u64>);

impl Usual {
    pub(super) fn add(&mut self, duration_us: u64) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(duration_us);
    }

    /// From here on an example is a straggler.
    fn far_longer_us(&self) -> Option<u64> {
        if self.0.len() < KNOWN_MIN {
            return None;
        }
        let mut sorted: Vec<u64> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        let most = sorted[sorted.len() * 9 / 10];
        Some(most.saturating_mul(TIMES).max(LEAST_US))
    }
}

/// An example that is executed a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hedge {
    pub worker: WorkerKey,
    pub assignment: Assignment,
    /// How long it has been running.
    pub for_us: u64,
}

impl Plan {
    /// Second executions that are worth it now: there is nothing else to give out, and another node has a free thread.
    pub(crate) fn hedge(&mut self, now_us: u64) -> Vec<Hedge> {
        let is_near_the_end = self.pending.is_empty() && self.solo.is_empty() && !self.gives_nothing();
        let Some(far_longer_us) = self.usual.far_longer_us() else { return Vec::new() };
        if !self.rules.hedges || !is_near_the_end {
            return Vec::new();
        }
        let mut hedges = Vec::new();
        for (index, site, for_us) in self.stragglers(now_us, far_longer_us) {
            let free = self.workers.iter().filter(|(_, worker)| {
                worker.site != site && !worker.solo && !worker.leaving && worker.assigned.len() < worker.threads
            });
            let load = |(_, worker): &(&WorkerKey, &super::Worker)| worker.assigned.len() * 1000 / worker.threads;
            let Some((&key, _)) = free.min_by_key(load) else { continue };
            let assignment = self.attempt(index);
            if let Some(worker) = self.workers.get_mut(&key) {
                worker.assigned.push_back(Running { assignment, since_us: None });
                worker.start_next(now_us);
            }
            self.hedged.insert(index, false);
            hedges.push(Hedge { worker: key, assignment, for_us });
        }
        hedges
    }

    /// Those that have not been executed a second time, where they are, and for how long.
    fn stragglers(&self, now_us: u64, least_us: u64) -> Vec<(u32, NodeId, u64)> {
        let mut stragglers = Vec::new();
        for worker in self.workers.values() {
            let age = |held: &Running| held.since_us.map(|since| now_us.saturating_sub(since));
            // What waits in a worker of which every thread is held up is held up as long.
            let all_for_us = worker.assigned.iter().filter_map(age).min().unwrap_or_default();
            let found = worker.assigned.iter().filter_map(|held| {
                let (index, for_us) = (held.assignment.index, age(held).unwrap_or(all_for_us));
                (for_us >= least_us && !self.hedged.contains_key(&index)).then_some((index, worker.site, for_us))
            });
            stragglers.extend(found);
        }
        stragglers.sort_by_key(|&(index, _, for_us)| (std::cmp::Reverse(for_us), index));
        stragglers
    }

    /// Whether the example has its result from its other execution.
    pub(super) fn is_settled(&self, index: u32) -> bool {
        self.hedged.get(&index).copied().unwrap_or(false)
    }

    /// Whether nobody need care for this execution any more: the other one has a result, or is under way.
    pub(super) fn has_another(&self, index: u32) -> bool {
        self.hedged.contains_key(&index) && (self.is_settled(index) || self.holders(index) > 0)
    }

    fn holders(&self, index: u32) -> usize {
        let holds = |worker: &&super::Worker| worker.assigned.iter().any(|held| held.assignment.index == index);
        self.workers.values().filter(holds).count()
    }
}

/// Orders of these second executions, by worker.
pub(crate) fn orders(hedges: &[Hedge]) -> BTreeMap<WorkerKey, Vec<Assignment>> {
    let mut orders: BTreeMap<WorkerKey, Vec<Assignment>> = BTreeMap::new();
    for hedge in hedges {
        orders.entry(hedge.worker).or_default().push(hedge.assignment);
    }
    orders
}
