//! A node has started and says who it is. It takes work again, if it was drained before.

use crate::record::Record;
use crate::state::Decision;
use crate::{NodeId, NodeInfo, NodeRecord, Outcome, State};

pub(crate) fn admit_node(state: &State, node: NodeId, info: &NodeInfo) -> Decision {
    let now_ms = state.log_time_ms();
    let admitted_ms = state.node(node).map_or(now_ms, |known| known.admitted_ms);
    let record = NodeRecord { info: info.clone(), admitted_ms, started_ms: now_ms };
    let mut decision = Decision::new(Outcome::Done).write(Record::Node(node, record));
    decision.removed.extend(super::drained(state, node));
    decision
}
