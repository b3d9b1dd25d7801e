//! Runs whose owner is lost get another one: the leader sees to it, from what it hears of its peers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dspex_model::{Command, NodeId, Outcome, RunId, RunStatus};
use tracing::{debug, info};

use crate::context::NodeContext;
use crate::proposing::{By, propose};

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// An owner of which the leader has heard nothing for so long is lost: longer than a line takes to come back.
const LOST_AFTER_MS: u64 = 3_000;

/// Runs as long as the node leads or may lead.
pub(crate) async fn watch_owners(context: Arc<NodeContext>) {
    let started = Instant::now();
    let mut absences = Absences::default();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let consensus = &context.parts.consensus;
        let status = consensus.status();
        if status.failure.is_some() {
            return;
        }
        if !status.is_leader {
            absences = Absences::default();
            continue;
        }
        let owned = owned(&context);
        let draining = context.draining_nodes();
        let mut present: BTreeSet<NodeId> = context.links.presences().into_keys().collect();
        present.insert(context.parts.node);
        let now_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        for lost in absences.lost(owned.keys().copied(), &present, now_ms) {
            for &(run, epoch) in &owned[&lost] {
                let own = context.parts.node;
                let heir = heir(&status.voters, &present, &draining, &owned, own).unwrap_or(own);
                assign(&context, run, epoch, (lost, heir)).await;
            }
        }
    }
}

/// Running runs and their epochs, by owner.
fn owned(context: &NodeContext) -> BTreeMap<NodeId, Vec<(RunId, u64)>> {
    context.parts.consensus.read_stale(|state| {
        let mut owned: BTreeMap<NodeId, Vec<(RunId, u64)>> = BTreeMap::new();
        for (id, run) in state.runs().filter(|(_, run)| run.progress.status == RunStatus::Running) {
            owned.entry(run.progress.owner).or_default().push((id, run.progress.epoch));
        }
        owned
    })
}

async fn assign(context: &NodeContext, run: RunId, expected_epoch: u64, (lost, heir): (NodeId, NodeId)) {
    let command = Command::AssignRun { run, owner: heir, expected_epoch };
    match propose(&context.parts.consensus, By::default(), &command).await {
        Ok(Outcome::RunResumed { .. }) => info!(%run, %lost, owner = %heir, "a run has another owner"),
        Ok(outcome) => debug!(%run, %lost, ?outcome, "a run of a lost node goes on nowhere else"),
        Err(error) => debug!(%run, %lost, %error, "a run of a lost node waits for a quorum"),
    }
}

/// The voter that is present and owns least; this node where that is equal. One that drains only where all others are away or drain
/// as well.
fn heir(
    voters: &[NodeId],
    present: &BTreeSet<NodeId>,
    draining: &BTreeSet<NodeId>,
    owned: &BTreeMap<NodeId, Vec<(RunId, u64)>>,
    own: NodeId,
) -> Option<NodeId> {
    let runs = |node: &NodeId| owned.get(node).map_or(0, Vec::len);
    let open = voters.iter().filter(|node| present.contains(node));
    open.copied().min_by_key(|node| (draining.contains(node), runs(node), *node != own, *node))
}

/// Who may own a run in place of this node, which drains: a voter that is present and takes work.
pub(crate) fn successor(context: &NodeContext, draining: &BTreeSet<NodeId>) -> Option<NodeId> {
    let present: BTreeSet<NodeId> = context.links.presences().into_keys().collect();
    let (voters, owned) = (context.parts.consensus.status().voters, owned(context));
    let found = heir(&voters, &present, draining, &owned, context.parts.node);
    found.filter(|node| !draining.contains(node))
}

/// Owners that are not heard, and since when.
#[derive(Debug, Default)]
struct Absences {
    since_ms: BTreeMap<NodeId, u64>,
}

impl Absences {
    /// Those of `owners` that have been absent for long enough.
    fn lost(&mut self, owners: impl Iterator<Item = NodeId>, present: &BTreeSet<NodeId>, now_ms: u64) -> Vec<NodeId> {
        let absent: BTreeSet<NodeId> = owners.filter(|node| !present.contains(node)).collect();
        self.since_ms.retain(|node, _| absent.contains(node));
        for node in absent {
            self.since_ms.entry(node).or_insert(now_ms);
        }
        let long = self.since_ms.iter().filter(|(_, since)| now_ms.saturating_sub(**since) >= LOST_AFTER_MS);
        long.map(|(node, _)| *node).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(numbers: &[u64]) -> Vec<NodeId> {
        numbers.iter().copied().map(NodeId).collect()
    }

    #[test]
    fn an_owner_is_lost_after_a_while_and_not_when_it_came_back_in_between() {
        let mut absences = Absences::default();
        let mut lost = |present: &[u64], now_ms| {
            absences.lost(nodes(&[1, 2]).into_iter(), &nodes(present).into_iter().collect(), now_ms)
        };
        assert_eq!(lost(&[1], 1_000), []);
        assert_eq!(lost(&[1], 999 + LOST_AFTER_MS), []);
        assert_eq!(lost(&[1], 1_000 + LOST_AFTER_MS), nodes(&[2]));
        assert_eq!(lost(&[1, 2], 5_000), [], "it is back");
        assert_eq!(lost(&[1], 6_000), []);
        assert_eq!(lost(&[1], 6_000 + LOST_AFTER_MS), nodes(&[2]));
    }

    #[test]
    fn the_present_voter_that_owns_least_takes_a_run_over() {
        let owned: BTreeMap<_, _> = [(NodeId(1), vec![(RunId(1), 1)]), (NodeId(9), vec![(RunId(2), 1)])].into();
        let set = |numbers: &[u64]| nodes(numbers).into_iter().collect::<BTreeSet<NodeId>>();
        let heir = |present: &[u64], draining: &[u64], own| {
            heir(&nodes(&[1, 2, 3]), &set(present), &set(draining), &owned, NodeId(own)).map(|node| node.0)
        };
        assert_eq!(heir(&[1, 2, 3], &[], 1), Some(2), "node 1 has a run");
        assert_eq!(heir(&[1, 2, 3], &[], 3), Some(3), "the leader where that is equal");
        assert_eq!(heir(&[1], &[], 1), Some(1), "nobody else is there");
        assert_eq!(heir(&[1, 8], &[], 1), Some(1), "one without a vote owns nothing");
        assert_eq!(heir(&[8], &[], 1), None);
        assert_eq!(heir(&[1, 2, 3], &[2], 1), Some(3), "node 2 takes nothing new");
        assert_eq!(heir(&[1, 2, 3], &[2, 3], 2), Some(1), "rather one that has a run");
        assert_eq!(heir(&[2], &[2, 3], 1), Some(2), "a run is not left without an owner for that");
    }
}
