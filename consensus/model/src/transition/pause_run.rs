//! A user lets a run rest. Its generation stays, unlike that of a cancel: what is under way comes to its end, and counts.

use crate::state::Decision;
use crate::{Effect, Outcome, RunId, RunStatus, State};

pub(crate) fn pause_run(state: &State, id: RunId) -> Decision {
    if state.run(id).is_some_and(|run| run.progress.status == RunStatus::Paused) {
        return Decision::new(Outcome::Done);
    }
    let run = match super::running(state, id) {
        Ok(run) => run,
        Err(rejection) => return super::rejected(rejection),
    };
    let progress = super::ended(state, run, RunStatus::Paused, "");
    super::stopped(id, progress, Effect::PauseRun { run: id })
}
