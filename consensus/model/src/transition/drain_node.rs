//! A node takes nothing new: what it has finishes there, or moves. Its next start ends that, and so does an operator.

use crate::record::Record;
use crate::state::Decision;
use crate::{NodeId, Outcome, Rejection, State};

pub(crate) fn drain_node(state: &State, node: NodeId, drain: bool) -> Decision {
    let mut decision = Decision::new(Outcome::Done);
    if !drain {
        // One that does not drain takes work already, a node alone as well, of which the log knows nothing.
        decision.removed.extend(super::drained(state, node));
        return decision;
    }
    if state.node(node).is_none() && state.lease(node).is_none() {
        return super::rejected(Rejection::NodeNotFound(node));
    }
    if state.is_draining(node) {
        return decision;
    }
    // One without a vote owns no run, so one that was admitted must be left. Whether it is there nobody knows from the log alone.
    if !state.nodes().any(|(other, _)| other != node && !state.is_draining(other)) {
        return super::rejected(Rejection::OnlyNode(node));
    }
    decision.write(Record::Draining(node, state.log_time_ms()))
}
