//! Results that other nodes have, and the log perhaps not yet: what a lost node had of them is in the log or nowhere.

use std::collections::{BTreeMap, BTreeSet};

use dspex_model::NodeId;

/// Examples that were executed, by the node that has their results. As few as may be in flight.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unrecorded {
    by_node: BTreeMap<NodeId, BTreeSet<u32>>,
}

impl Unrecorded {
    /// The node has a result of this example.
    pub(crate) fn executed(&mut self, node: NodeId, index: u32) {
        self.by_node.entry(node).or_default().insert(index);
    }

    /// The node says that the log has taken results. Which ones, only the log knows.
    pub(crate) fn forget_recorded(&mut self, node: NodeId, is_recorded: impl Fn(u32) -> bool) {
        if let Some(held) = self.by_node.get_mut(&node) {
            held.retain(|index| !is_recorded(*index));
        }
    }

    /// Nothing comes from the node any more: what it had, recorded or not.
    pub(crate) fn lost(&mut self, node: NodeId) -> BTreeSet<u32> {
        self.by_node.remove(&node).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_lost_node_had_is_known_until_the_log_has_it() {
        let mut unrecorded = Unrecorded::default();
        for (node, index) in [(1, 10), (1, 11), (2, 12)] {
            unrecorded.executed(NodeId(node), index);
        }
        unrecorded.forget_recorded(NodeId(1), |index| index != 11);
        assert_eq!(unrecorded.lost(NodeId(1)), BTreeSet::from([11]), "10 is in the log");
        assert_eq!(unrecorded.lost(NodeId(1)), BTreeSet::new(), "said once");
        assert_eq!(unrecorded.lost(NodeId(2)), BTreeSet::from([12]), "the other node's are its own");
    }
}
