//! How many examples each worker executes at once: a run's threads, divided among its workers.

use super::{Plan, WorkerKey};

/// For missing ones a worker takes so many times its own share at the most: examples in one process slow each other down.
const STAND_IN_TIMES: usize = 4;
/// And no more threads than this, unless its own share is more: a sandbox bounds the threads of a worker (`sandbox.processes`).
const STAND_IN_MAX: usize = 128;

impl Plan {
    /// Divides the threads anew; tells who executes another number now than before.
    ///
    /// Each worker has the share that it has among all `places`. While some are not there yet, those that are stand in for them,
    /// but only where that cannot harm: with so much left that the missing ones find enough to do, without deadlines, because
    /// examples in one process may slow each other down, and with retries, because they may die together. Nor does any of them take
    /// the place of all others, where there are many.
    pub(crate) fn share_out(&mut self, places: usize) -> Vec<(WorkerKey, usize)> {
        let stays = |worker: &super::Worker| worker.leaving || !worker.elastic;
        let open: Vec<WorkerKey> =
            self.workers.iter().filter(|(_, worker)| !stays(worker)).map(|(&key, _)| key).collect();
        let fixed: usize =
            self.workers.values().filter(|worker| stays(worker) && !worker.leaving).map(|worker| worker.threads).sum();
        let others = self.workers.values().filter(|worker| !worker.leaving).count() - open.len();
        let enough_is_left = self.pending.len() >= self.rules.num_threads * places.max(1);
        let stand_in = enough_is_left && self.rules.timeout_us.is_none() && self.rules.retries > 0;
        let all = places.saturating_sub(others).max(open.len());
        let among = if stand_in { open.len() } else { all };
        let rest = self.rules.num_threads.saturating_sub(fixed);
        let own = rest.div_ceil(all.max(1));
        let most = own.max((own * STAND_IN_TIMES).min(STAND_IN_MAX));
        let mut changed = Vec::new();
        for (position, key) in open.into_iter().enumerate() {
            let threads = (rest / among + usize::from(position < rest % among)).clamp(1, most.max(1));
            if let Some(worker) = self.workers.get_mut(&key)
                && worker.threads != threads
            {
                worker.threads = threads;
                changed.push((key, threads));
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::plans::{HERE, without_limit};
    use super::*;

    #[test]
    fn a_worker_stands_in_for_a_few_but_never_with_more_threads_than_a_sandbox_lets_it_have() {
        let threads = |num_threads: usize, places: usize| {
            let mut plan = Plan::new(without_limit(num_threads), 0..(num_threads * places) as u32);
            plan.worker_joined(1, HERE, num_threads / places);
            plan.share_out(places);
            plan.workers[&1].threads
        };
        assert_eq!(threads(600, 4), 150, "its own share, which is more than anybody takes for others");
        assert_eq!(threads(400, 8), 128);
        assert_eq!(threads(64, 16), 16, "four times its own");
        assert_eq!(threads(12, 3), 12);
    }
}
