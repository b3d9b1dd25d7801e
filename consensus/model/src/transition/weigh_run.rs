//! How much a run is to have beside others. It counts while the run is under way, and is kept for when it goes on. One that is over has
//! nothing to share in: a retry is weighed when it runs.

use crate::record::Record;
use crate::state::Decision;
use crate::{Outcome, RUN_WEIGHT_MAX, Rejection, RunId, State};

pub(crate) fn weigh_run(state: &State, id: RunId, weight: u32) -> Decision {
    let Some(run) = state.run(id) else {
        return super::rejected(Rejection::RunNotFound(id));
    };
    let status = run.progress.status;
    if !status.is_under_way() && !status.is_resumable() {
        return super::rejected(Rejection::RunNotRunning(status));
    }
    Decision::new(Outcome::Done).write(Record::RunWeight(id, weight.clamp(1, RUN_WEIGHT_MAX)))
}
