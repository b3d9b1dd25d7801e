//! After the last fault the cluster must become whole by itself: somebody leads, no change of the members is left halfway,
//! every member has the same state and all its blobs, and every member can be written through and read at.

use std::time::Duration;

use dspex_model::{COLD_RECORDS, Digest};
use openraft::async_runtime::WatchReceiver;
use tokio::time::{Instant, sleep, timeout_at};

use crate::blobs::keeper::Lacking;
use crate::blobs::referenced;
use crate::clients;
use crate::cluster::Cluster;
use crate::handle::look;
use crate::settings::HEALING_LIMIT;

const PAUSE: Duration = Duration::from_millis(100);

/// For one write or read when all is calm: an election may come in between.
const CALM_LIMIT: Duration = Duration::from_secs(10);

/// Why the cluster is not whole, if it is not in time.
pub(crate) async fn heal(cluster: &Cluster) -> Result<(), String> {
    cluster.world.wires.calm();
    let deadline = Instant::now() + HEALING_LIMIT;
    let healed = timeout_at(deadline, healed(cluster)).await;
    healed.unwrap_or_else(|_| Err(format!("not whole after {HEALING_LIMIT:?}: {}", standing(cluster))))
}

async fn healed(cluster: &Cluster) -> Result<(), String> {
    while cluster.leader().is_none_or(|leader| !leads(cluster, leader)) {
        sleep(PAUSE).await;
    }
    // A change that an operator began may come to its end meanwhile.
    let members = loop {
        let members = together(cluster).await;
        let tried = clients::try_out(cluster, &members, CALM_LIMIT).await;
        let now = together(cluster).await;
        match tried {
            Ok(()) => break now,
            Err(detail) if now == members => return Err(detail),
            Err(_) => {}
        }
    };
    members.iter().try_for_each(|member| same_as_agreed(cluster, *member))?;
    members.iter().try_for_each(|member| has_its_blobs(cluster, *member))
}

fn leads(cluster: &Cluster, node: u64) -> bool {
    cluster.handle(node).is_some_and(|handle| handle.raft.is_leader())
}

/// Waits until no change of the members is under way, and every member has applied the whole log of the leader and lacks no
/// blob; gives the members.
async fn together(cluster: &Cluster) -> Vec<u64> {
    loop {
        sleep(PAUSE).await;
        let Some((members, last)) = cluster.leader().and_then(|leader| members_and_last(cluster, leader)) else {
            continue;
        };
        let stands = |member: &u64| {
            let handle = cluster.handle(*member)?;
            let (applied, lacking) = (look(&handle, |applied, _| applied), *handle.copies.own.borrow());
            Some((applied, lacking))
        };
        let whole = Some((last, Lacking { index: last, blobs: 0 }));
        if members.iter().all(|member| stands(member) == whole) {
            return members;
        }
    }
}

/// The members, and the last entry, as the leader has them.
fn members_and_last(cluster: &Cluster, leader: u64) -> Option<(Vec<u64>, u64)> {
    let metrics = cluster.handle(leader)?.raft.metrics();
    let metrics = metrics.borrow_watched();
    let membership = metrics.membership_config.membership();
    if membership.get_joint_config().len() > 1 {
        return None;
    }
    let members = membership.nodes().map(|(&node, _)| node).collect();
    Some((members, metrics.last_log_index?))
}

/// The whole state, in memory and as the disk has it, is the one that was agreed on.
fn same_as_agreed(cluster: &Cluster, node: u64) -> Result<(), String> {
    let (Some(handle), Some(disk)) = (cluster.handle(node), cluster.disk(node)) else {
        return Err(format!("node {node} is gone"));
    };
    let (agreed, index) = cluster
        .world
        .observer
        .committed(|committed| (committed.state().digest(), committed.entries().len().saturating_sub(1) as u64));
    let (applied, digest) = look(&handle, |applied, state| (applied, state.digest()));
    // A tick may have come in between.
    if applied != index {
        return Ok(());
    }
    let records = look(&handle, |_, state| state.records().collect::<Vec<_>>());
    // Those that stay on the disk are compared with every entry: see `states_agree`.
    let (from, to) = COLD_RECORDS;
    let stored = disk.contents().state.read().records.clone().into_iter();
    let stored: Vec<_> = stored.filter(|(key, _)| !(from..to).contains(&&key[..])).collect();
    if digest != agreed || records != stored {
        return Err(format!("node {node} holds another state at {applied} than was agreed on"));
    }
    Ok(())
}

/// Every blob that the state names is on the node's disk, with the bytes that its name stands for.
fn has_its_blobs(cluster: &Cluster, node: u64) -> Result<(), String> {
    let (Some(handle), Some(disk)) = (cluster.handle(node), cluster.disk(node)) else {
        return Err(format!("node {node} is gone"));
    };
    let contents = disk.contents();
    let named = look(&handle, |_, state| referenced(state, &contents.state.read().records));
    named.iter().try_for_each(|digest| match contents.blobs.durable().values.get(digest) {
        Some(bytes) if Digest::of(bytes) == *digest => Ok(()),
        Some(_) => Err(format!("node {node} holds other bytes under {digest}")),
        None => Err(format!("node {node} does not hold blob {digest}, which its state names")),
    })
}

/// Where everybody stands, for a person.
fn standing(cluster: &Cluster) -> String {
    let describe = |node: u64| match cluster.handle(node) {
        Some(handle) => {
            let metrics = handle.raft.metrics();
            let metrics = metrics.borrow_watched();
            format!(
                "n{node} {:?} vote {} leader {:?} log {:?} applied {:?} snapshot {:?} purged {:?} members {}",
                metrics.state,
                metrics.vote,
                metrics.current_leader,
                metrics.last_log_index,
                metrics.last_applied.map(|id| id.index),
                metrics.snapshot.map(|id| id.index),
                metrics.purged.map(|id| id.index),
                metrics.membership_config.membership()
            )
        }
        None => format!("n{node} does not run"),
    };
    cluster.started().into_iter().map(describe).collect::<Vec<_>>().join("; ")
}
