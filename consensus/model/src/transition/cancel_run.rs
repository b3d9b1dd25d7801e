//! A user stops a run. What it has is kept; what is still on its way is fenced off by the next generation.

use crate::state::Decision;
use crate::{Effect, RunId, RunStatus, State};

pub(crate) fn cancel_run(state: &State, id: RunId, reason: &str) -> Decision {
    let run = match super::under_way(state, id) {
        Ok(run) => run,
        Err(rejection) => return super::rejected(rejection),
    };
    let mut progress = super::ended(state, run, RunStatus::Cancelled, reason);
    progress.generation += 1;
    super::stopped(id, progress, Effect::StopRun { run: id })
}
