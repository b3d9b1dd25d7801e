//! Results that were on their way to the log when the node that had them was lost.

use std::collections::BTreeSet;

use super::{Assignment, Plan, Verdict};

impl Plan {
    /// A lost node had so many results that nobody will call recorded. Those that are `missing` in the log run again, or have failed:
    /// the verdicts.
    pub(crate) fn results_lost(&mut self, results: usize, missing: impl IntoIterator<Item = u32>) -> Vec<Verdict> {
        self.recorded(results);
        if self.rules.retries > 0 {
            self.missing_again(missing);
            return Vec::new();
        }
        let verdict = |index| {
            let attempt = self.attempts.get(&index).copied().unwrap_or(1);
            Verdict::WorkerLost(Assignment { index, attempt })
        };
        let verdicts: Vec<Verdict> = missing.into_iter().map(verdict).collect();
        self.unrecorded += verdicts.len();
        verdicts
    }

    /// Examples without a result in the log that nobody has any more run again, before all others. Tells how many.
    pub(crate) fn missing_again(&mut self, missing: impl IntoIterator<Item = u32>) -> usize {
        let held = self.workers.values().flat_map(|worker| &worker.assigned).map(|held| held.assignment.index);
        let known: BTreeSet<u32> = held.chain(self.pending.iter().copied()).chain(self.solo.iter().copied()).collect();
        let again: Vec<u32> = missing.into_iter().filter(|index| !known.contains(index)).collect();
        for &index in again.iter().rev() {
            self.hedged.remove(&index);
            self.pending.push_front(index);
        }
        again.len()
    }

    /// Whether results are on their way to the log, as far as was said.
    pub(crate) fn has_unrecorded(&self) -> bool {
        self.unrecorded > 0
    }

    /// How long the run goes on; `None`: nobody knows yet.
    pub(crate) fn remaining_us(&self) -> Option<u64> {
        let examples = self.waiting() as u64;
        Some(self.duration.mean_us()?.saturating_mul(examples) / self.rules.num_threads.max(1) as u64)
    }

    /// Whether there is nothing to give out and nothing to wait for but the log.
    pub(crate) fn is_exhausted(&self) -> bool {
        !self.gives_nothing() && self.waiting() == 0 && self.in_flight() == 0
    }
}
