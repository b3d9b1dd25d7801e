//! Who belongs to the cluster, and how that is changed: through the log, by the leader, one change at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dspex_model::NodeId;
use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, ForwardToLeader, RaftError};
use tokio::time::timeout;

use crate::attempts::leader_of;
use crate::refusal::Refusal;
use crate::types::{Member, Raft, Types};

/// How long a leader that hands over waits until it sees another one.
const TRANSFER_LIMIT: Duration = Duration::from_secs(5);

/// A change of who belongs to the cluster or leads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberChange {
    /// A node follows the log from now on, without a vote.
    Add {
        /// The node.
        node: NodeId,
        /// Where its peers reach it.
        address: String,
    },
    /// A node that follows gets a vote. It waits until the node has nearly everything.
    Promote {
        /// The node.
        node: NodeId,
    },
    /// A voter only follows from now on.
    Demote {
        /// The node.
        node: NodeId,
    },
    /// A node is no member any more.
    Remove {
        /// The node.
        node: NodeId,
    },
    /// The leader hands over to another voter.
    Transfer {
        /// Who leads then.
        node: NodeId,
    },
}

/// Makes a change on the leader.
pub(crate) async fn change(raft: &Raft, change: &MemberChange, limit: Duration) -> Result<(), Refusal> {
    leads(raft)?;
    let members = |node: &NodeId| BTreeSet::from([node.0]);
    if let MemberChange::Promote { node } | MemberChange::Demote { node } | MemberChange::Remove { node } = change {
        is_member(raft, *node)?;
    }
    let (changes, retain) = match change {
        MemberChange::Transfer { node } => return transfer(raft, node.0).await,
        MemberChange::Add { node, address } => {
            let member = Member { address: address.clone() };
            (ChangeMembers::AddNodes(BTreeMap::from([(node.0, member)])), true)
        }
        MemberChange::Promote { node } => {
            caught_up(raft, node.0, limit).await?;
            (ChangeMembers::AddVoterIds(members(node)), true)
        }
        MemberChange::Demote { node } => (ChangeMembers::RemoveVoters(members(node)), true),
        MemberChange::Remove { node } if is_voter(raft, node.0) => (ChangeMembers::RemoveVoters(members(node)), false),
        MemberChange::Remove { node } => (ChangeMembers::RemoveNodes(members(node)), true),
    };
    match timeout(limit, raft.change_membership(changes, retain)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(refusal(error)),
        Err(_) => Err(Refusal::Unknown(format!(
            "the change was not committed within {limit:?}; it may be yet: look at the members"
        ))),
    }
}

/// Only the leader knows the members for certain.
fn leads(raft: &Raft) -> Result<(), Refusal> {
    if raft.is_leader() {
        return Ok(());
    }
    let leader = leader_of(raft).ok_or(Refusal::NoLeader)?;
    Err(Refusal::OtherLeader { node: leader.node, address: leader.address })
}

fn is_member(raft: &Raft, node: NodeId) -> Result<(), Refusal> {
    let metrics = raft.server_metrics();
    let known = metrics.borrow_watched().membership_config.membership().get_node(&node.0).is_some();
    let refused = || Refusal::Refused(format!("node {node} is no member: `dspex member add ADDRESS` takes a node in"));
    known.then_some(()).ok_or_else(refused)
}

fn is_voter(raft: &Raft, node: u64) -> bool {
    raft.voter_ids().any(|voter| voter == node)
}

/// Waits until a learner has what was in the log when this was called: a voter without it would slow every commit.
async fn caught_up(raft: &Raft, node: u64, limit: Duration) -> Result<(), Refusal> {
    let wanted = raft.metrics().borrow_watched().last_log_index;
    let has = |metrics: &openraft::RaftMetrics<Types>| match &metrics.replication {
        Some(replication) => {
            replication.get(&node).is_some_and(|matched| matched.as_ref().map(|log_id| log_id.index) >= wanted)
        }
        // No leader any more: the change itself will say so.
        None => true,
    };
    match raft.wait(Some(limit)).metrics(has, "the learner has the log").await {
        Ok(_) => Ok(()),
        Err(_) => Err(Refusal::Refused(format!(
            "node {node} has not caught up with the log within {limit:?}: is it running, and reachable from the leader?"
        ))),
    }
}

async fn transfer(raft: &Raft, to: u64) -> Result<(), Refusal> {
    if *raft.node_id() == to {
        return Ok(());
    }
    if !is_voter(raft, to) {
        return Err(Refusal::Refused(format!("node {to} has no vote: only a voter can lead")));
    }
    raft.trigger().transfer_leader(to).await.map_err(|error| Refusal::Unknown(error.to_string()))?;
    let leads = |metrics: &openraft::RaftMetrics<Types>| metrics.current_leader == Some(to);
    match raft.wait(Some(TRANSFER_LIMIT)).metrics(leads, "the other node leads").await {
        Ok(_) => Ok(()),
        Err(_) => Err(Refusal::Unknown(format!("node {to} did not take over within {TRANSFER_LIMIT:?}"))),
    }
}

fn refusal(error: RaftError<Types, ClientWriteError<Types>>) -> Refusal {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => forwarded(forward),
        RaftError::APIError(ClientWriteError::ChangeMembershipError(ChangeMembershipError::InProgress(_))) => {
            Refusal::Refused("another change of the members is under way: wait for its end".to_owned())
        }
        RaftError::APIError(error) => Refusal::Refused(error.to_string()),
        RaftError::Fatal(error) => Refusal::Unknown(error.to_string()),
    }
}

/// Who to go to instead.
pub(crate) fn forwarded(forward: ForwardToLeader<Types>) -> Refusal {
    match forward.leader_id {
        None => Refusal::NoLeader,
        Some(leader) => Refusal::OtherLeader {
            node: NodeId(leader),
            address: forward.leader_node.map(|member| member.address).unwrap_or_default(),
        },
    }
}
