//! Nodes that have no workers of a run: for good, because they cannot execute it, or for a while, because results did not get from
//! there into the log.

use std::collections::BTreeMap;

use dspex_model::NodeId;

/// A quorum that was lost comes back, and a disk is made room on: after so long the node is tried again.
const PAUSE_US: u64 = 60_000_000;

/// For how long.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Out {
    ForGood { why: String },
    Until { us: u64 },
}

#[derive(Clone, Debug, Default)]
pub(super) struct ShutOut(BTreeMap<NodeId, Out>);

impl ShutOut {
    /// It can have none. `false`: that was known.
    pub(super) fn refused(&mut self, node: NodeId, why: &str) -> bool {
        let before = self.0.insert(node, Out::ForGood { why: why.to_owned() });
        !matches!(before, Some(Out::ForGood { .. }))
    }

    /// What it executes now would be for nothing. `false`: that was known.
    pub(super) fn cannot_record(&mut self, node: NodeId, now_us: u64) -> bool {
        if matches!(self.0.get(&node), Some(Out::ForGood { .. })) {
            return false;
        }
        self.0.insert(node, Out::Until { us: now_us.saturating_add(PAUSE_US) }).is_none()
    }

    /// Those that are to be tried again may have workers again.
    pub(super) fn reopen(&mut self, now_us: u64) {
        self.0.retain(|_, out| !matches!(out, Out::Until { us } if *us <= now_us));
    }

    pub(super) fn contains(&self, node: NodeId) -> bool {
        self.0.contains_key(&node)
    }

    /// Why nobody has workers of the run, where that is so for good: each of the nodes that are there has refused.
    pub(super) fn refusal_of_all(&self, present: impl IntoIterator<Item = NodeId>) -> Option<String> {
        let why = |node: NodeId| match self.0.get(&node)? {
            Out::ForGood { why } => Some(format!("node {node}: {why}")),
            Out::Until { .. } => None,
        };
        let all: Option<Vec<String>> = present.into_iter().map(why).collect();
        all.filter(|all| !all.is_empty()).map(|all| all.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(2);

    #[test]
    fn a_node_that_could_not_record_is_tried_again_after_a_while_and_one_that_refused_is_not() {
        let mut out = ShutOut::default();
        assert!(out.cannot_record(NODE, 0) && !out.cannot_record(NODE, 1), "said once");
        assert!(out.refused(NodeId(3), "why") && !out.refused(NodeId(3), "why"));
        out.reopen(PAUSE_US);
        assert!(out.contains(NODE), "the pause is as long after the last failure");
        out.reopen(PAUSE_US + 1);
        assert!(!out.contains(NODE) && out.contains(NodeId(3)));
        assert!(out.cannot_record(NODE, PAUSE_US + 2), "said again");
    }

    #[test]
    fn a_refusal_outlasts_a_failure_to_record() {
        let mut out = ShutOut::default();
        assert!(out.cannot_record(NODE, 0) && out.refused(NODE, "why") && !out.cannot_record(NODE, 0));
        out.reopen(u64::MAX);
        assert!(out.contains(NODE));
    }

    #[test]
    fn nobody_is_left_when_all_that_are_there_have_refused() {
        let mut out = ShutOut::default();
        assert_eq!(out.refusal_of_all([]), None, "others may come");
        out.refused(NODE, "no such environment");
        assert_eq!(out.refusal_of_all([NODE, NodeId(3)]), None);
        out.cannot_record(NodeId(3), 0);
        assert_eq!(out.refusal_of_all([NODE, NodeId(3)]), None, "it is tried again");
        assert_eq!(out.refusal_of_all([NODE]).as_deref(), Some("node 2: no such environment"));
    }
}
