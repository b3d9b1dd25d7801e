//! A paused, cancelled or interrupted run goes on: same results so far, same generation, a new epoch.

use crate::record::Record;
use crate::state::Decision;
use crate::{Effect, NodeId, Outcome, Rejection, RunId, State};

pub(crate) fn resume_run(state: &State, id: RunId, owner: NodeId, detached: bool) -> Decision {
    let Some(run) = state.run(id) else {
        return super::rejected(Rejection::RunNotFound(id));
    };
    if !run.progress.status.is_resumable() {
        return super::rejected(Rejection::RunNotResumable(run.progress.status));
    }
    let progress = super::resumed(state, run, owner, detached);
    let (epoch, generation) = (progress.epoch, progress.generation);
    Decision::new(Outcome::RunResumed { epoch, generation })
        .write(Record::RunProgress(id, Box::new(progress)))
        .effect(Effect::OwnRun { owner, run: id, epoch })
}
