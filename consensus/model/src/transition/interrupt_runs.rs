//! An embedded node started again. Only a caller can hand its environment and directory over, so its runs wait for a resume.

use crate::record::Record;
use crate::state::Decision;
use crate::{Effect, NodeId, Outcome, RunStatus, State};

const REASON: &str = "the node restarted";

pub(crate) fn interrupt_runs(state: &State, node: NodeId) -> Decision {
    let mut decision = Decision::new(Outcome::Done);
    for (id, run) in state.runs() {
        if run.progress.status == RunStatus::Running && run.progress.owner == node {
            let progress = super::ended(state, run, RunStatus::Interrupted, REASON);
            decision = decision.write(Record::RunProgress(id, Box::new(progress))).effect(Effect::StopRun { run: id });
        }
    }
    decision
}
