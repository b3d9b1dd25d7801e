//! The oldest executions leave, a segment at a time.

use crate::executions::{Expired, removal};
use crate::record::Key;
use crate::state::Decision;
use crate::{Effect, Outcome, State};

pub(crate) fn expire_executions(state: &State) -> Option<Decision> {
    let Expired { segment, end, has_blobs } = state.executions().expired(state.log_time_ms())?;
    let mut decision = Decision::new(Outcome::Done);
    decision.removed = vec![Key::ExecutionSegment(segment)];
    decision.cold = removal(segment, end).collect();
    if has_blobs {
        decision = decision.effect(Effect::FreeExecutions { before: end });
    }
    Some(decision)
}
