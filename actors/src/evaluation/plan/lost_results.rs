//! Results that were on their way to the log when the node that had them was lost.

use std::collections::BTreeSet;

use dspex_model::NodeId;

use super::{Assignment, Plan, Verdict};

/// What became of results that nobody has any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GivenUp {
    /// So many of their examples run again.
    pub again: usize,
    /// The others have failed.
    pub verdicts: Vec<Verdict>,
}

impl Plan {
    /// A lost node had so many results that nobody will call recorded. Those that are `missing` in the log run again. Where nothing
    /// does they may come yet, from a node that is only cut off: a failure must not be faster than they are. They are given up when
    /// there is nothing else to wait for.
    pub(crate) fn results_lost(&mut self, node: NodeId, results: usize, missing: impl IntoIterator<Item = u32>) {
        self.recorded_at(node, results);
        if self.rules.retries > 0 {
            self.missing_again(missing);
        }
    }

    /// The log has waited long enough for those that are `missing`.
    pub(crate) fn given_up(&mut self, missing: impl IntoIterator<Item = u32>) -> GivenUp {
        if self.rules.retries > 0 {
            return GivenUp { again: self.missing_again(missing), verdicts: Vec::new() };
        }
        let verdict = |index| {
            let attempt = self.attempts.get(&index).copied().unwrap_or(1);
            Verdict::WorkerLost(Assignment { index, attempt })
        };
        let verdicts: Vec<Verdict> = missing.into_iter().map(verdict).collect();
        self.unrecorded.begin(self.rules.owner, verdicts.len());
        GivenUp { again: 0, verdicts }
    }

    /// Examples without a result in the log that nobody has any more run again, before all others. Tells how many.
    fn missing_again(&mut self, missing: impl IntoIterator<Item = u32>) -> usize {
        let held = self.workers.values().flat_map(|worker| &worker.assigned).map(|held| held.assignment.index);
        let known: BTreeSet<u32> = held.chain(self.pending.iter().copied()).chain(self.solo.iter().copied()).collect();
        let missing: Vec<u32> = missing.into_iter().collect();
        for index in &missing {
            // Also where another worker still has the example: that execution is the one that counts now, and is waited for again.
            self.hedged.remove(index);
        }
        let again: Vec<u32> = missing.into_iter().filter(|index| !known.contains(index)).collect();
        again.iter().rev().for_each(|&index| self.pending.push_front(index));
        again.len()
    }

    /// Whether results are on their way to the log, as far as was said.
    pub(crate) fn has_unrecorded(&self) -> bool {
        !self.unrecorded.is_empty()
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
