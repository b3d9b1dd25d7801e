//! Who belongs to the cluster, and how that is changed: through the log, by the leader, one change at a time.

// Told, because the simulation compiles this file by its path and looks for the other one beside itself otherwise.
#[path = "membership/copies.rs"]
mod copies;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dspex_model::NodeId;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, ForwardToLeader, RaftError};
use openraft::{ChangeMembers, Instant};
use tokio::time::timeout;

pub(crate) use self::copies::Copies;
use crate::attempts::leader_of;
use crate::refusal::Refusal;
use crate::types::{Member, Raft, Types};

/// How long a leader that hands over waits until it sees the other one lead.
const TRANSFER_LIMIT: Duration = Duration::from_secs(5);

/// After this time without it the other one is told again.
const TAKE_OVER: Duration = Duration::from_secs(1);

/// How long a voter that is to go waits for the others to have copied what it has.
const COPIES_LIMIT: Duration = Duration::from_secs(20);

/// A voter that has not answered for so long is not handed the leadership: ten heartbeats.
const SILENT_AFTER: Duration = Duration::from_secs(1);

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
    /// A node that follows gets a vote. It waits until the node has nearly everything of the log, and every blob.
    Promote {
        /// The node.
        node: NodeId,
    },
    /// A voter only follows from now on. Before, the voters that stay must have every blob.
    Demote {
        /// The node.
        node: NodeId,
        /// Blobs that only this voter has may be lost.
        forced: bool,
    },
    /// A node is no member any more. Before, the voters that stay must have every blob.
    Remove {
        /// The node.
        node: NodeId,
        /// Blobs that only this voter has may be lost.
        forced: bool,
    },
    /// The leader hands over to another voter.
    Transfer {
        /// Who leads then.
        node: NodeId,
    },
}

/// Makes a change on the leader, and goes on with it when nobody waits any more.
pub(crate) async fn begin(raft: &Raft, copies: &Copies, change: &MemberChange, limit: Duration) -> Result<(), Refusal> {
    let (raft, copies, change) = (raft.clone(), copies.clone(), change.clone());
    let changing = tokio::spawn(async move { self::change(&raft, &copies, &change, limit).await });
    changing.await.unwrap_or_else(|error| Err(Refusal::Unknown(error.to_string())))
}

/// Makes a change on the leader.
async fn change(raft: &Raft, copies: &Copies, change: &MemberChange, limit: Duration) -> Result<(), Refusal> {
    leads(raft)?;
    let members = |node: &NodeId| BTreeSet::from([node.0]);
    if let MemberChange::Promote { node } | MemberChange::Demote { node, .. } | MemberChange::Remove { node, .. } =
        change
    {
        is_member(raft, *node)?;
    }
    if let MemberChange::Demote { node, forced: false } | MemberChange::Remove { node, forced: false } = change
        && is_voter(raft, node.0)
    {
        let staying: BTreeSet<u64> = raft.voter_ids().filter(|voter| *voter != node.0).collect();
        copies.on(raft, &staying, staying.len() / 2 + 1, limit.min(COPIES_LIMIT)).await?;
    }
    let (changes, retain) = match change {
        MemberChange::Transfer { node } => return transfer(raft, node.0).await,
        MemberChange::Add { node, address } => match known_at(raft, *node) {
            Some(known) if known == *address => return Ok(()),
            // It has moved.
            Some(_) => (ChangeMembers::SetNodes(member(*node, address)), true),
            None => (ChangeMembers::AddNodes(member(*node, address)), true),
        },
        MemberChange::Promote { node } => {
            caught_up(raft, node.0, limit).await?;
            copies.on(raft, &members(node), 1, limit).await?;
            (ChangeMembers::AddVoterIds(members(node)), true)
        }
        MemberChange::Demote { node, .. } => (ChangeMembers::RemoveVoters(members(node)), true),
        MemberChange::Remove { node, .. } if is_voter(raft, node.0) => {
            (ChangeMembers::RemoveVoters(members(node)), false)
        }
        MemberChange::Remove { node, .. } => (ChangeMembers::RemoveNodes(members(node)), true),
    };
    // Not ended at the limit: what is begun has to come to its end.
    let mut changing = tokio::spawn({
        let raft = raft.clone();
        async move { raft.change_membership(changes, retain).await }
    });
    let changed = timeout(limit, &mut changing).await.map(|joined| joined.map_err(|error| error.to_string()));
    match changed {
        Ok(Err(detail)) => Err(Refusal::Unknown(detail)),
        Ok(Ok(Ok(_))) => Ok(()),
        Ok(Ok(Err(error))) => Err(refusal(error)),
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

fn member(node: NodeId, address: &str) -> BTreeMap<u64, Member> {
    BTreeMap::from([(node.0, Member { address: address.to_owned() })])
}

/// Where the members reach a node; `None`: it is no member.
pub(crate) fn known_at(raft: &Raft, node: NodeId) -> Option<String> {
    let metrics = raft.server_metrics();
    let metrics = metrics.borrow_watched();
    metrics.membership_config.membership().get_node(&node.0).map(|member| member.address.clone())
}

fn is_member(raft: &Raft, node: NodeId) -> Result<(), Refusal> {
    let refused = || Refusal::Refused(format!("node {node} is no member: `dspex member add ADDRESS` takes a node in"));
    known_at(raft, node).map(drop).ok_or_else(refused)
}

/// The voter that has most of the log among those that a leader has heard lately and that may lead.
pub(crate) fn successor(metrics: &openraft::RaftMetrics<Types>, may_lead: impl Fn(u64) -> bool) -> Option<u64> {
    let (replication, heard) = (metrics.replication.as_ref()?, metrics.heartbeat.as_ref()?);
    let answers = |node: &u64| {
        let last = heard.get(node).copied().flatten();
        last.is_some_and(|last| last.elapsed() < SILENT_AFTER)
    };
    let voters = metrics.membership_config.membership().voter_ids();
    let others = voters.filter(|node| *node != metrics.id && may_lead(*node) && answers(node));
    others.max_by_key(|node| replication.get(node).copied().flatten().map(|log_id| log_id.index))
}

pub(crate) fn is_voter(raft: &Raft, node: u64) -> bool {
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
    caught_up(raft, to, TRANSFER_LIMIT).await?;
    let deadline = tokio::time::Instant::now() + TRANSFER_LIMIT;
    while tokio::time::Instant::now() < deadline {
        // Where a third one has won the election, it is asked next.
        leads(raft)?;
        raft.trigger().transfer_leader(to).await.map_err(|error| Refusal::Unknown(error.to_string()))?;
        let leads = |metrics: &openraft::RaftMetrics<Types>| metrics.current_leader == Some(to);
        // A node that has not synced the end of the log within an election time does not stand.
        if raft.wait(Some(TAKE_OVER)).metrics(leads, "the other node leads").await.is_ok() {
            return Ok(());
        }
    }
    Err(Refusal::Unknown(format!("node {to} did not take over within {TRANSFER_LIMIT:?}")))
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
