//! The owner found that the run cannot have a score (a metric that returns None, a program that no worker can load).

use crate::state::Decision;
use crate::{Effect, Rejection, RunId, RunStatus, State};

pub(crate) fn fail_run(state: &State, id: RunId, epoch: u64, reason: &str) -> Decision {
    let run = match super::under_way(state, id) {
        Ok(run) => run,
        Err(rejection) => return super::rejected(rejection),
    };
    let current = run.progress.epoch;
    if epoch != current {
        return super::rejected(Rejection::StaleEpoch { current });
    }
    let progress = super::ended(state, run, RunStatus::Failed, reason);
    super::stopped(id, progress, Effect::StopRun { run: id })
}
