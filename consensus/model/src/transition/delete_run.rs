//! A run leaves the state with all its results.

use crate::record::Key;
use crate::state::Decision;
use crate::{Effect, Outcome, Rejection, RunId, RunStatus, State};

pub(crate) fn delete_run(state: &State, id: RunId) -> Decision {
    let Some(run) = state.run(id) else {
        return super::rejected(Rejection::RunNotFound(id));
    };
    if run.progress.status == RunStatus::Running {
        return super::rejected(Rejection::RunRunning);
    }
    let mut decision = Decision::new(Outcome::Done).effect(Effect::FreeBlobs { run: id });
    if run.progress.status == RunStatus::Paused {
        decision = decision.effect(Effect::StopRun { run: id });
    }
    let present = (0u32..).zip(&run.results).filter(|(_, result)| result.is_some());
    decision.removed = present.map(|(index, _)| Key::RunResult(id, index)).collect();
    decision.removed.extend(run.attempts.keys().map(|&index| Key::RunAttempts(id, index)));
    if run.weight != 1 {
        decision.removed.push(Key::RunWeight(id));
    }
    decision.removed.extend([Key::RunProgress(id), Key::RunSpec(id)]);
    decision
}
