//! How many examples each worker executes at once: a run's threads, divided among its workers.

use super::{Plan, WorkerKey};

impl Plan {
    /// Divides the threads anew; tells who executes another number now than before.
    ///
    /// Each worker has the share that it has among all `places`. While some are not there yet, those that are stand in for them,
    /// but only where that cannot harm: with so much left that the missing ones find enough to do, without deadlines, because
    /// examples in one process may slow each other down, and with retries, because they may die together.
    pub(crate) fn share_out(&mut self, places: usize) -> Vec<(WorkerKey, usize)> {
        let stays = |worker: &super::Worker| worker.leaving || !worker.elastic;
        let open: Vec<WorkerKey> =
            self.workers.iter().filter(|(_, worker)| !stays(worker)).map(|(&key, _)| key).collect();
        let fixed: usize =
            self.workers.values().filter(|worker| stays(worker) && !worker.leaving).map(|worker| worker.threads).sum();
        let others = self.workers.values().filter(|worker| !worker.leaving).count() - open.len();
        let enough_is_left = self.pending.len() >= self.rules.num_threads * places.max(1);
        let stand_in = enough_is_left && self.rules.timeout_us.is_none() && self.rules.retries > 0;
        let among = if stand_in { open.len() } else { places.saturating_sub(others).max(open.len()) };
        let rest = self.rules.num_threads.saturating_sub(fixed);
        let mut changed = Vec::new();
        for (position, key) in open.into_iter().enumerate() {
            let threads = (rest / among + usize::from(position < rest % among)).max(1);
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
