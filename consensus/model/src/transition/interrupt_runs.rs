//! A node started again. Only a caller can hand its directory and environment over, so runs that lie there wait for a resume.
//! Runs whose code was sent along go on: under a new epoch, since the orders of the node's last life are not this one's.

use crate::record::Record;
use crate::state::Decision;
use crate::{Effect, NodeId, Outcome, RunStatus, State};

const REASON: &str = "the node restarted";

/// `before_ms` is the log's time before this proposal: while the node was down nothing was executed.
pub(crate) fn interrupt_runs(state: &State, node: NodeId, before_ms: u64) -> Decision {
    let mut decision = Decision::new(Outcome::Done);
    for (id, run) in state.runs() {
        if run.progress.status != RunStatus::Running || run.progress.owner != node {
            continue;
        }
        if run.spec.shipped.is_some() {
            let mut progress = run.progress.clone();
            progress.epoch += 1;
            let epoch = progress.epoch;
            decision = decision.write(Record::RunProgress(id, Box::new(progress))).effect(Effect::OwnRun {
                owner: node,
                run: id,
                epoch,
            });
        } else {
            let progress = super::ended_at(before_ms, run, RunStatus::Interrupted, REASON);
            decision = decision.write(Record::RunProgress(id, Box::new(progress))).effect(Effect::StopRun { run: id });
        }
    }
    decision
}
