//! A node that was removed for good is not shown any more.

use crate::record::Key;
use crate::state::Decision;
use crate::{NodeId, Outcome, Rejection, State};

pub(crate) fn forget_node(state: &State, node: NodeId) -> Decision {
    if state.node(node).is_none() {
        return super::rejected(Rejection::NodeNotFound(node));
    }
    let mut decision = Decision::new(Outcome::Done);
    decision.removed = [Key::Node(node)].into_iter().chain(super::drained(state, node)).collect();
    decision
}
