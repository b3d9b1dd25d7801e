//! Freeing the blobs of what was deleted, or is not kept any more: those that nothing else refers to, and nobody is about to refer to.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use dspex_consensus::{Consensus, ExecutionsError};
use dspex_model::{Digest, State};
use dspex_storage::BlobStore;
use tokio::sync::{RwLock, RwLockReadGuard};
use tokio::task::JoinError;
use tracing::{debug, info, warn};

use crate::context::NodeContext;

/// How long an upload is kept for the proposal that will name it.
pub(crate) const PIN_FOR: Duration = Duration::from_secs(600);

/// What a node without a vote has left over is freed so often.
const EMPTY_EVERY: Duration = Duration::from_secs(600);

/// Keeps what is on its way into the log from being freed.
#[derive(Debug, Default)]
pub(crate) struct Freeing {
    /// Held for reading from a blob's write until the log names it.
    gate: RwLock<()>,
}

impl Freeing {
    /// Nothing is freed while the guard lives.
    pub(crate) async fn hold(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().await
    }

    /// Deletes every blob that neither a run nor an execution refers to and that is not pinned: what those that expired or an
    /// upload that nobody ever named left behind.
    ///
    /// # Errors
    /// When no leader confirms what is referred to: a node that is behind may miss what is referred to by now.
    pub(crate) async fn sweep(&self, blobs: &BlobStore, consensus: &Consensus) -> Result<(), ExecutionsError> {
        let store = blobs.clone();
        match tokio::task::spawn_blocking(move || store.digests()).await {
            Ok(Ok(all)) => return self.free(blobs, all.into_iter().collect(), consensus).await,
            Ok(Err(error)) => warn!(%error, "the blobs could not be listed"),
            Err(error) => warn!(%error, "listing the blobs failed"),
        }
        Ok(())
    }

    /// Deletes the candidates that neither a run nor an execution refers to and that are not pinned.
    ///
    /// # Errors
    /// As of [`sweep`](Self::sweep).
    pub(crate) async fn free(
        &self,
        blobs: &BlobStore,
        candidates: HashSet<Digest>,
        consensus: &Consensus,
    ) -> Result<(), ExecutionsError> {
        // What executions refer to is on the disk. Nobody waits while that is looked through: what was recorded meanwhile is looked
        // at when nothing more can come.
        let (candidates, looked) = consensus.unnamed(candidates, 0).await?;
        let alone = self.gate.write().await;
        let candidates = consensus.read(move |state| unreferenced(state, candidates)).await?;
        let (free, _) = consensus.unnamed(candidates, looked).await?;
        let free: Vec<Digest> = free.into_iter().collect();
        let store = blobs.clone();
        let freed = tokio::task::spawn_blocking(move || store.delete_many(&free)).await;
        drop(alone);
        tell(freed);
        // Whoever deleted a run does not wait for it.
        tokio::spawn(reclaim(blobs.clone()));
        Ok(())
    }
}

fn tell(freed: Result<io::Result<usize>, JoinError>) {
    match freed {
        Ok(Ok(count)) => debug!(count, "freed blobs"),
        Ok(Err(error)) => warn!(%error, "blobs that nobody needs were not freed"),
        Err(error) => warn!(%error, "freeing blobs failed"),
    }
}

async fn reclaim(blobs: BlobStore) {
    match tokio::task::spawn_blocking(move || blobs.reclaim()).await {
        Ok(Ok(Some(bytes))) => info!(bytes, "gave the space of deleted blobs back to the disk"),
        Ok(Ok(None)) => {}
        Ok(Err(error)) => warn!(%error, "the space of deleted blobs was not given back"),
        Err(error) => warn!(%error, "giving back the space of deleted blobs failed"),
    }
}

/// Of a node without a vote, for which nobody keeps a blob: what it has fetched it has read soon after, and what its workers made is
/// with the voters before the log names it.
pub(crate) async fn empty(context: Arc<NodeContext>) {
    loop {
        let blobs = context.parts.blobs.clone();
        let alone = context.freeing.gate.write().await;
        let emptied = tokio::task::spawn_blocking(move || blobs.delete_many(&blobs.digests()?)).await;
        drop(alone);
        tell(emptied);
        reclaim(context.parts.blobs.clone()).await;
        tokio::time::sleep(EMPTY_EVERY).await;
    }
}

/// Those that nothing of the state refers to.
fn unreferenced(state: &State, mut candidates: HashSet<Digest>) -> HashSet<Digest> {
    for digest in state.blobs() {
        if candidates.is_empty() {
            break;
        }
        candidates.remove(&digest);
    }
    candidates
}
