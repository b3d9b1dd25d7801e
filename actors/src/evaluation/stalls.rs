//! A run that has nothing left to do but to wait for the log waits for what nobody has: then that is executed again.

use dspex_model::BoardEvent;
use tracing::warn;

use super::work::Work;

/// When everything was executed, the log must have everything soon after: at once where no result is known to be on its way.
const GONE_AFTER_US: u64 = 5_000_000;
const STUCK_AFTER_US: u64 = 60_000_000;

impl Work {
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
