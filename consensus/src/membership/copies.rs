//! Whether blobs are where they must be before a voter comes or goes.

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::blobs::keeper::Lacking;
use crate::network::Network;
use crate::refusal::Refusal;
use crate::types::Raft;

/// For one node to say what it lacks.
const ASK_LIMIT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(200);

/// How members are asked for what they lack, and what this node lacks itself. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Copies {
    pub(crate) network: Network,
    pub(crate) own: watch::Receiver<Lacking>,
}

impl Copies {
    /// Waits until at least `needed` of these nodes have every blob that the state refers to now.
    pub(super) async fn on(
        &self,
        raft: &Raft,
        nodes: &BTreeSet<u64>,
        needed: usize,
        limit: Duration,
    ) -> Result<(), Refusal> {
        let deadline = Instant::now() + limit;
        let wanted = raft.metrics().borrow_watched().last_applied.map_or(0, |id| id.index);
        loop {
            let answers = nodes.iter().map(|&node| async move { (node, self.ask(raft, node).await) });
            let answers = futures::future::join_all(answers).await;
            let has_all = |lacking: &Option<Lacking>| lacking.is_some_and(|it| it.index >= wanted && it.blobs == 0);
            if answers.iter().filter(|(_, lacking)| has_all(lacking)).count() >= needed {
                return Ok(());
            }
            if Instant::now() + PAUSE >= deadline {
                let behind: Vec<String> = answers
                    .iter()
                    .filter(|(_, lacking)| !has_all(lacking))
                    .map(|(node, it)| tell(*node, *it))
                    .collect();
                return Err(Refusal::Refused(format!(
                    "datasets and results are not where they must be before this change: {}; try again when they are copied",
                    behind.join(", ")
                )));
            }
            sleep(PAUSE).await;
        }
    }

    async fn ask(&self, raft: &Raft, node: u64) -> Option<Lacking> {
        if node == *raft.node_id() {
            return Some(*self.own.borrow());
        }
        self.network.lacking(node, ASK_LIMIT).await
    }
}

fn tell(node: u64, lacking: Option<Lacking>) -> String {
    match lacking {
        None => format!("node {node} does not answer"),
        Some(Lacking::UNKNOWN) => format!("node {node} has not looked yet"),
        Some(Lacking { blobs: 0, .. }) => format!("node {node} has not applied the newest entries"),
        Some(Lacking { blobs, .. }) => format!("node {node} lacks {blobs} of them"),
    }
}
