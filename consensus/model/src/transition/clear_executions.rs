//! All executions leave: what they hold is to be forgotten, or a blob that they refer to is lost for good.

use crate::executions::removal;
use crate::record::Key;
use crate::state::Decision;
use crate::{Effect, Outcome, State};

pub(crate) fn clear_executions(state: &State) -> Decision {
    let executions = state.executions();
    let (from, to) = (executions.oldest(), executions.next());
    let mut decision = Decision::new(Outcome::Done);
    if from < to {
        decision.removed = executions.segments().map(|(first, _)| Key::ExecutionSegment(first)).collect();
        decision.cold = removal(from, to).collect();
        decision = decision.effect(Effect::FreeExecutions { before: to });
    }
    decision
}
