//! Where a node's consensus stands, for people and probes.

use dspex_model::NodeId;
use openraft::{RaftMetrics, ServerState};

use crate::types::Types;

/// A moment's view of consensus on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// This node.
    pub node_id: NodeId,
    /// The term that it knows of.
    pub term: u64,
    /// The leader that it knows of.
    pub leader: Option<NodeId>,
    /// Whether it leads itself.
    pub is_leader: bool,
    /// The last entry in its log.
    pub last_index: Option<u64>,
    /// The last entry that it knows to be committed.
    pub committed_index: Option<u64>,
    /// The last entry in its state.
    pub applied_index: Option<u64>,
    /// The last entry in its newest snapshot.
    pub snapshot_index: Option<u64>,
    /// The last entry removed from its log.
    pub purged_index: Option<u64>,
    /// The members that vote.
    pub voters: Vec<NodeId>,
    /// The members that only follow.
    pub learners: Vec<NodeId>,
    /// Why consensus has stopped on this node, if it has.
    pub failure: Option<String>,
    /// What the node says of itself besides; empty: nothing, or it is of a version that does not.
    pub remark: String,
}

impl Status {
    pub(crate) fn of(metrics: &RaftMetrics<Types>) -> Self {
        let membership = metrics.membership_config.membership();
        Self {
            node_id: NodeId(metrics.id),
            term: metrics.current_term,
            leader: metrics.current_leader.map(NodeId),
            is_leader: metrics.state == ServerState::Leader,
            last_index: metrics.last_log_index,
            committed_index: metrics.local_committed.map(|id| id.index),
            applied_index: metrics.last_applied.map(|id| id.index),
            snapshot_index: metrics.snapshot.map(|id| id.index),
            purged_index: metrics.purged.map(|id| id.index),
            voters: membership.voter_ids().map(NodeId).collect(),
            learners: membership.learner_ids().map(NodeId).collect(),
            failure: metrics.running_state.as_ref().err().map(ToString::to_string),
            remark: String::new(),
        }
    }
}
