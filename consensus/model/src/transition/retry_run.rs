//! A run that is not under way executes what has failed once more: those results leave, all others stay. The next generation fences
//! off what may still come of the dropped attempts, and of a pause. Without its failures a run that had too many of them has none, so it goes on to its end.

use crate::record::{Key, Record};
use crate::state::Decision;
use crate::{Effect, NodeId, Outcome, Rejection, RunId, RunStatus, State};

pub(crate) fn retry_run(state: &State, id: RunId, owner: NodeId, detached: bool) -> Decision {
    let Some(run) = state.run(id) else {
        return super::rejected(Rejection::RunNotFound(id));
    };
    if run.progress.status == RunStatus::Running {
        return super::rejected(Rejection::RunRunning);
    }
    let failed: Vec<(u32, u32)> = run.failed().map(|(index, result)| (index, result.attempt)).collect();
    if failed.is_empty() {
        return super::rejected(Rejection::NothingFailed);
    }
    let kept = run.results.iter().flatten().filter(|result| result.failure.is_none());
    let mut progress = super::resumed(state, run, owner, detached);
    progress.generation += 1;
    progress.done -= failed.len() as u32;
    progress.failed = 0;
    // What was spent on them was spent: usage, costs and time stay as they are.
    progress.score_sum = kept.fold(0.0, |sum, result| sum + result.score.value);
    (progress.score, progress.digest) = (None, None);
    let (epoch, generation) = (progress.epoch, progress.generation);
    let mut decision = Decision::new(Outcome::RunResumed { epoch, generation });
    decision.removed = failed.iter().map(|(index, _)| Key::RunResult(id, *index)).collect();
    decision.written = failed.iter().map(|(index, attempts)| Record::RunAttempts(id, *index, *attempts)).collect();
    decision.write(Record::RunProgress(id, Box::new(progress))).effect(Effect::OwnRun { owner, run: id, epoch })
}
