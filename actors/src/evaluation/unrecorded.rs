//! Results that other nodes have, and the log perhaps not yet: what a lost node had of them is in the log or nowhere.
//!
//! They are counted by what they are, not by what is said of them: the log's word may come before this node has applied it, and that
//! of a node again on its next line. Each leaves once, and whoever takes it out tells the plan so.

use std::collections::{BTreeMap, BTreeSet};

use dspex_model::NodeId;

/// Examples that were executed, by the node that has their results. As few as may be in flight.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unrecorded {
    by_node: BTreeMap<NodeId, BTreeSet<u32>>,
}

impl Unrecorded {
    /// The node has a result of this example. `false`: it had one already, and that is the one that counts.
    pub(crate) fn executed(&mut self, node: NodeId, index: u32) -> bool {
        self.by_node.entry(node).or_default().insert(index)
    }

    /// Those of the node that the log has by now leave. Tells how many.
    pub(crate) fn forget_recorded(&mut self, node: NodeId, is_recorded: impl Fn(u32) -> bool) -> usize {
        let Some(held) = self.by_node.get_mut(&node) else { return 0 };
        let before = held.len();
        held.retain(|index| !is_recorded(*index));
        before - held.len()
    }

    /// Nothing comes from the node any more: what it had, recorded or not.
    pub(crate) fn lost(&mut self, node: NodeId) -> BTreeSet<u32> {
        self.by_node.remove(&node).unwrap_or_default()
    }

    /// Nobody believes any more that one of them is on its way. Tells how many there were, node by node.
    pub(crate) fn give_up(&mut self) -> Vec<(NodeId, usize)> {
        std::mem::take(&mut self.by_node).into_iter().map(|(node, held)| (node, held.len())).collect()
    }

    /// Nodes that have had some.
    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        self.by_node.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(held: &[(u64, u32)]) -> Unrecorded {
        let mut unrecorded = Unrecorded::default();
        for &(node, index) in held {
            assert!(unrecorded.executed(NodeId(node), index));
        }
        unrecorded
    }

    #[test]
    fn what_a_lost_node_had_is_known_until_the_log_has_it() {
        let mut unrecorded = of(&[(1, 10), (1, 11), (2, 12)]);
        assert_eq!(unrecorded.forget_recorded(NodeId(1), |index| index != 11), 1);
        assert_eq!(unrecorded.lost(NodeId(1)), BTreeSet::from([11]), "10 is in the log");
        assert_eq!(unrecorded.lost(NodeId(1)), BTreeSet::new(), "said once");
        assert_eq!(unrecorded.lost(NodeId(2)), BTreeSet::from([12]), "the other node's are its own");
    }

    #[test]
    fn each_result_leaves_once_however_often_and_late_it_is_said_to_be_in_the_log() {
        let mut unrecorded = of(&[(1, 10), (1, 11), (2, 11)]);
        assert!(!unrecorded.executed(NodeId(1), 10), "executed there once more");
        let mut forget = |node, index| unrecorded.forget_recorded(NodeId(node), |held| held == index);
        assert_eq!(forget(1, 99), 0, "the state here does not have it yet");
        assert_eq!((forget(1, 10), forget(1, 10)), (1, 0), "its node says so once more");
        assert_eq!(unrecorded.lost(NodeId(1)).len(), 1);
        assert_eq!(unrecorded.forget_recorded(NodeId(1), |_| true), 0, "it has left with its node");
        assert_eq!((unrecorded.nodes(), unrecorded.give_up()), (vec![NodeId(2)], vec![(NodeId(2), 1)]));
    }

    #[test]
    fn what_nobody_believes_in_any_more_leaves_at_once() {
        let mut unrecorded = of(&[(1, 10), (2, 11)]);
        assert_eq!((unrecorded.give_up(), unrecorded.give_up()), (vec![(NodeId(1), 1), (NodeId(2), 1)], Vec::new()));
    }
}
