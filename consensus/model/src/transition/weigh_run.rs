//! How much a run is to have beside others. It counts while the run is under way, and is kept for when it goes on.

use crate::record::Record;
use crate::state::Decision;
use crate::{Outcome, RUN_WEIGHT_MAX, Rejection, RunId, State};

pub(crate) fn weigh_run(state: &State, run: RunId, weight: u32) -> Decision {
    if state.run(run).is_none() {
        return super::rejected(Rejection::RunNotFound(run));
    }
    Decision::new(Outcome::Done).write(Record::RunWeight(run, weight.clamp(1, RUN_WEIGHT_MAX)))
}
