//! Results that other nodes have and that the log does not have yet. A node that is lost may take them with it.

use dspex_model::NodeId;
use tracing::warn;

use super::work::Work;
use crate::board::BoardEvent;

/// When everything was executed, the log must have everything soon after: at once where no result is known to be on its way.
const GONE_AFTER_US: u64 = 5_000_000;
const STUCK_AFTER_US: u64 = 60_000_000;

impl Work {
    /// The log has taken some of what the node has, in what order is not said.
    pub(super) fn recorded_elsewhere(&mut self, node: NodeId) {
        let run = self.arguments.run;
        let Some(waiting) = self.elsewhere.get_mut(&node) else { return };
        self.arguments.context.parts.consensus.read_stale(|state| match state.run(run) {
            Some(held) => waiting.retain(|index| held.result(*index).is_none()),
            None => waiting.clear(),
        });
    }

    /// What the node had executed and not recorded runs again.
    pub(super) fn results_lost(&mut self, node: NodeId) {
        self.recorded_elsewhere(node);
        let lost = self.elsewhere.remove(&node).unwrap_or_default();
        self.plan.recorded(lost.len());
        let again = self.plan.missing_again(lost);
        if again > 0 {
            let text =
                format!("{again} results were on their way from node {node} to the log: their examples run again");
            self.arguments.board.publish(BoardEvent::Warning(text));
        }
    }

    /// Whatever became of them: a run must not wait for results that nobody has.
    pub(super) fn look_for_lost_results(&mut self) {
        let now_us = self.now_us();
        if !self.plan.is_exhausted() {
            self.exhausted_since_us = None;
            return;
        }
        let since = *self.exhausted_since_us.get_or_insert(now_us);
        let patience = if self.plan.has_unrecorded() { STUCK_AFTER_US } else { GONE_AFTER_US };
        if now_us.saturating_sub(since) < patience {
            return;
        }
        self.exhausted_since_us = None;
        let run = self.arguments.run;
        let missing: Vec<u32> = self
            .arguments
            .context
            .parts
            .consensus
            .read_stale(|state| state.run(run).map(|held| held.missing().collect()).unwrap_or_default());
        let again = self.plan.missing_again(missing);
        if again > 0 {
            warn!(%run, again, "results did not reach the log; their examples run again");
            let text = format!("{again} results did not reach the log: their examples run again");
            self.arguments.board.publish(BoardEvent::Warning(text));
        }
    }
}
