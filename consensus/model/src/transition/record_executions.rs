//! Executions that have ended are numbered and written; one that was reported before counts once.

use crate::record::Key;
use crate::state::Decision;
use crate::{Execution, Outcome, State};

pub(crate) fn record_executions(state: &State, executions: &[Execution]) -> Decision {
    let recording = state.executions().record(state.log_time_ms(), executions);
    let mut decision = Decision::new(Outcome::ExecutionsRecorded {
        first: recording.first,
        recorded: recording.recorded,
        duplicates: executions.len() as u32 - recording.recorded,
    });
    decision.written = recording.written;
    decision.removed = recording.forgotten.into_iter().map(Key::RecentExecutions).collect();
    decision.cold = recording.cold;
    decision
}
