//! A new run: running from the start, owned by the node that the proposer named.

use crate::record::Record;
use crate::state::Decision;
use crate::{EXAMPLES_MAX, Effect, Outcome, Rejection, RunProgress, RunSubmission, State};

pub(crate) fn submit_run(state: &State, submission: &RunSubmission) -> Decision {
    let RunSubmission { run, owner, detached, spec } = submission;
    if state.run(*run).is_some() {
        return super::rejected(Rejection::RunExists(*run));
    }
    let examples = spec.dataset.examples;
    if examples > EXAMPLES_MAX {
        return super::rejected(Rejection::TooManyExamples { examples, limit: EXAMPLES_MAX });
    }
    let now_ms = state.log_time_ms();
    let epoch = 1;
    let progress = RunProgress {
        detached: *detached,
        owner: *owner,
        epoch,
        generation: 1,
        created_ms: now_ms,
        resumed_ms: now_ms,
        ..RunProgress::default()
    };
    Decision::new(Outcome::RunSubmitted { run: *run, epoch })
        .write(Record::RunSpec(*run, Box::new(spec.clone())))
        .write(Record::RunProgress(*run, Box::new(progress)))
        .effect(Effect::OwnRun { owner: *owner, run: *run, epoch })
}
