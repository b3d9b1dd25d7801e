//! A run that has nothing left to do but to wait for the log waits for what nobody has: then that is executed again, or has failed.

use dspex_model::{BoardEvent, EndedBy};
use tracing::{debug, warn};

use super::work::Work;
use crate::worker::WorkerEnd;

/// When everything was executed, the log must have everything soon after: at once where no result is known to be on its way.
const GONE_AFTER_US: u64 = 5_000_000;
const STUCK_AFTER_US: u64 = 60_000_000;

impl Work {
    /// Whatever became of them: a run must not wait for results that nobody has.
    pub(super) async fn look_for_lost_results(&mut self) {
        let now_us = self.now_us();
        if !self.plan.is_exhausted() {
            self.exhausted.ends();
            return;
        }
        let exhausted_us = self.exhausted.lasts(now_us);
        let patience = if self.plan.has_unrecorded() { STUCK_AFTER_US } else { GONE_AFTER_US };
        if exhausted_us < patience {
            return;
        }
        self.exhausted.ends();
        let run = self.arguments.run;
        // What this node has not applied yet is not lost: all of it would be executed twice.
        let consensus = &self.arguments.context.parts.consensus;
        let missing = consensus.read(|state| state.run(run).map(|held| held.missing().collect::<Vec<u32>>())).await;
        match missing {
            Ok(missing) => self.give_up(missing.unwrap_or_default()),
            Err(error) => debug!(%run, %error, "what results did not reach the log cannot be asked"),
        }
    }

    fn give_up(&mut self, missing: Vec<u32>) {
        let run = self.arguments.run;
        for (node, results) in self.unrecorded.give_up() {
            self.plan.recorded_at(node, results);
        }
        let given_up = self.plan.given_up(missing);
        let (again, failed) = (given_up.again, given_up.verdicts.len());
        if again + failed == 0 {
            return;
        }
        warn!(%run, again, failed, "results did not reach the log");
        let text = match failed {
            0 => format!("{again} results did not reach the log: their examples run again"),
            _ => format!("{failed} results did not reach the log: their examples have failed (--retries 0)"),
        };
        self.arguments.board.publish(BoardEvent::Warning(text));
        let message = "its result did not reach the log".to_owned();
        let end = WorkerEnd { message, output: String::new(), by: EndedBy::Node, refused: None };
        self.record_verdicts(&given_up.verdicts, &end, "");
    }
}
