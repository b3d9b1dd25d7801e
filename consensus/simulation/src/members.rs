//! The operator: changes the members one step after another, and repeats nothing that was refused.

use std::time::Duration;

use dspex_model::NodeId;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::{Group, JoinHandle, Random, spawn_in};

use crate::cluster::Cluster;
use crate::handle::Failure;
use crate::membership::MemberChange;
use crate::observer::Seen;
use crate::plan::Step;
use crate::refusal::Refusal;
use crate::start::member;

/// How long the operator waits for one step.
/// Copying blobs may take longer; the change then goes on without it.
const STEP_LIMIT: Duration = Duration::from_secs(8);

/// Somebody who changes the members.
pub(crate) struct Operator {
    orders: UnboundedSender<Step>,
    task: JoinHandle<()>,
}

impl Operator {
    pub(crate) fn start(cluster: Cluster) -> Self {
        let (orders, received) = mpsc::unbounded_channel();
        let task = spawn_in(Group::WORLD, work(cluster, received));
        Self { orders, task }
    }

    pub(crate) fn order(&self, step: Step) {
        let _ = self.orders.send(step);
    }

    /// Waits until all orders were tried.
    pub(crate) async fn finish(self) {
        drop(self.orders);
        let _ = self.task.await;
    }
}

async fn work(cluster: Cluster, mut orders: UnboundedReceiver<Step>) {
    let mut random = Random::stream(cluster.world.seed, "operator");
    while let Some(step) = orders.recv().await {
        if cluster.world.observer.violation().is_some() {
            return;
        }
        // Too late: what is still to come would disturb the healing.
        if cluster.world.begun.elapsed() > cluster.world.settings.chaos {
            continue;
        }
        if let Step::Add(node) = step
            && !cluster.started().contains(&node)
        {
            cluster.start(node).await;
        }
        let Some(node) = random.choose(&cluster.running()).copied() else { continue };
        let changed = change(&cluster, node, step, STEP_LIMIT).await;
        cluster.world.observer.see(Seen::Event { text: &format!("{step}, asked at n{node}: {changed:?}") });
        cluster.world.observer.count(|statistics| match changed {
            Ok(()) => statistics.changes += 1,
            Err(_) => statistics.failed_changes += 1,
        });
    }
}

/// One change, asked for at a node.
pub(crate) async fn change(cluster: &Cluster, node: u64, step: Step, limit: Duration) -> Result<(), Refusal> {
    let change = match step {
        Step::Add(node) => MemberChange::Add { node: NodeId(node), address: member(node).address },
        Step::Promote(node) => MemberChange::Promote { node: NodeId(node) },
        Step::Demote(node) => MemberChange::Demote { node: NodeId(node), forced: false },
        Step::Remove(node) => MemberChange::Remove { node: NodeId(node), forced: false },
        Step::Transfer(node) => MemberChange::Transfer { node: NodeId(node) },
    };
    let asked = cluster.ask(node, limit, |handle| async move { Ok(handle.change_members(&change, limit).await) }).await;
    asked.unwrap_or_else(|failure| Err(unanswered(&failure)))
}

fn unanswered(failure: &Failure) -> Refusal {
    match failure {
        Failure::NotDone => Refusal::NoLeader,
        Failure::Unknown => Refusal::Unknown("no answer".to_owned()),
    }
}
