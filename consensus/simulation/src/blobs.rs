//! Blobs among the nodes. It does what `consensus/src/blobs.rs` and its `spread`, `fetch` and `serve` do, and what
//! `actors/src/freeing.rs` does beside them; each blob in one piece.

mod freeing;
#[path = "../../src/blobs/keeper.rs"]
pub(crate) mod keeper;
mod spread;
mod store;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dspex_model::Digest;
use openraft::async_runtime::WatchReceiver;
use tokio::time::sleep;

pub(crate) use self::freeing::{Freeing, referenced, run as free};
pub(crate) use self::store::BlobStore;
use crate::handle::Handle;
use crate::membership::is_voter;

/// For one piece or question.
const STEP_LIMIT: Duration = Duration::from_secs(30);

/// How long a blob that came from a peer is kept for the proposal that will name it. Shorter than the original, and longer than
/// it may take to spread it, with the proposal after that, here.
pub(crate) const KEEP: Duration = Duration::from_secs(25);

/// Why a blob is not where it should be, for people.
#[derive(Debug)]
pub(crate) struct BlobError(String);

impl fmt::Display for BlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Another member.
struct Holder {
    node: u64,
    is_voter: bool,
}

impl Handle {
    /// The other members.
    fn holders(&self) -> Vec<Holder> {
        let membership = self.raft.server_metrics().borrow_watched().membership_config.membership().clone();
        let own = *self.raft.node_id();
        let others = membership.nodes().filter(|(node, _)| **node != own);
        others.map(|(&node, _)| Holder { node, is_voter: is_voter(&self.raft, node) }).collect()
    }

    /// Returns when this node has these blobs, which another node may have to give it.
    pub(crate) async fn obtain(&self, digests: impl IntoIterator<Item = Digest>) -> Result<(), BlobError> {
        // Hashed as the original does; the order is then made one that a seed repeats.
        let wanted: HashSet<Digest> = digests.into_iter().collect();
        let mut wanted: Vec<Digest> = wanted.into_iter().collect();
        wanted.sort();
        let holders = self.holders();
        if holders.is_empty() {
            return Ok(());
        }
        let missing = self.blobs.missing(&wanted, None).map_err(|error| BlobError(error.to_string()))?;
        for digest in missing {
            self.blobs.pin(digest, KEEP);
            self.fetch(digest, &holders).await?;
        }
        Ok(())
    }

    /// Asks one node after another.
    async fn fetch(&self, digest: Digest, holders: &[Holder]) -> Result<(), BlobError> {
        let mut heard = Vec::new();
        for &Holder { node, .. } in holders {
            let read = move |served: Arc<crate::served::Served>| async move { Ok(served.blobs.get(&digest)) };
            match self.network.world.wires.call(*self.raft.node_id(), node, STEP_LIMIT, read).await {
                Ok(Some(bytes)) => {
                    sleep(self.network.disk.fetch_time()).await;
                    let found = self.blobs.put(bytes).await;
                    if found == digest {
                        self.network.world.observer.count(|statistics| statistics.blobs_fetched += 1);
                        return Ok(());
                    }
                    heard.push(format!("node {node} gave {found} instead"));
                }
                Ok(None) => heard.push(format!("node {node} does not have it")),
                Err(why) => heard.push(format!("node {node}: {why}")),
            }
        }
        Err(BlobError(format!("no node that answers has the blob {digest} ({})", heard.join("; "))))
    }

    /// The blobs of this node.
    pub(crate) fn blobs(&self) -> &BlobStore {
        &self.blobs
    }
}
