//! The owner of a running run is lost: another node plans it from here on. Results so far stand, and those that are on their way
//! count, whoever has ordered them. A run that lies in a directory of its node can go on nowhere else.

use crate::record::Record;
use crate::state::Decision;
use crate::{Effect, NodeId, Outcome, Rejection, RunId, RunStatus, State};

const REASON: &str = "its node was lost, and its code lies there: resume it when the node is back";

pub(crate) fn assign_run(state: &State, id: RunId, owner: NodeId, expected_epoch: u64) -> Decision {
    let run = match super::running(state, id) {
        Ok(run) => run,
        Err(rejection) => return super::rejected(rejection),
    };
    let current = run.progress.epoch;
    if current != expected_epoch {
        return super::rejected(Rejection::StaleEpoch { current });
    }
    if run.spec.shipped.is_none() {
        let progress = super::ended(state, run, RunStatus::Interrupted, REASON);
        return Decision::new(Outcome::Done)
            .write(Record::RunProgress(id, Box::new(progress)))
            .effect(Effect::StopRun { run: id });
    }
    let mut progress = run.progress.clone();
    (progress.owner, progress.epoch) = (owner, current + 1);
    let (epoch, generation) = (progress.epoch, progress.generation);
    Decision::new(Outcome::RunResumed { epoch, generation })
        .write(Record::RunProgress(id, Box::new(progress)))
        .effect(Effect::OwnRun { owner, run: id, epoch })
}
