//! Freeing the blobs of what was deleted: those that nothing else refers to, and nobody is about to refer to.

use std::collections::HashSet;
use std::time::Duration;

use dspex_consensus::{Consensus, ReadError};
use dspex_model::{Digest, State};
use dspex_storage::BlobStore;
use tokio::sync::{RwLock, RwLockReadGuard};
use tracing::{debug, warn};

/// How long an upload is kept for the proposal that will name it.
pub(crate) const PIN_FOR: Duration = Duration::from_secs(600);

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

    /// Deletes every blob that `state` does not refer to and that is not pinned: what an expired run or an upload that no
    /// run ever named left behind.
    ///
    /// # Errors
    /// When no leader confirms what the state refers to: a state that is behind may miss what is referred to by now.
    pub(crate) async fn sweep(&self, blobs: &BlobStore, consensus: &Consensus) -> Result<(), ReadError> {
        let store = blobs.clone();
        match tokio::task::spawn_blocking(move || store.digests()).await {
            Ok(Ok(all)) => return self.free(blobs, all.into_iter().collect(), consensus).await,
            Ok(Err(error)) => warn!(%error, "the blobs could not be listed"),
            Err(error) => warn!(%error, "listing the blobs failed"),
        }
        Ok(())
    }

    /// Deletes the candidates that the state does not refer to and that are not pinned.
    ///
    /// # Errors
    /// As of [`sweep`](Self::sweep).
    pub(crate) async fn free(
        &self,
        blobs: &BlobStore,
        candidates: HashSet<Digest>,
        consensus: &Consensus,
    ) -> Result<(), ReadError> {
        let _alone = self.gate.write().await;
        let free = consensus.read(move |state| unreferenced(state, candidates)).await?;
        let blobs = blobs.clone();
        let freed = tokio::task::spawn_blocking(move || blobs.delete_many(&free));
        match freed.await {
            Ok(Ok(count)) => debug!(count, "freed blobs"),
            Ok(Err(error)) => warn!(%error, "blobs of what was deleted were not freed"),
            Err(error) => warn!(%error, "freeing blobs failed"),
        }
        Ok(())
    }
}

/// Those that nothing of the state refers to.
fn unreferenced(state: &State, mut candidates: HashSet<Digest>) -> Vec<Digest> {
    for digest in state.blobs() {
        if candidates.is_empty() {
            break;
        }
        candidates.remove(&digest);
    }
    candidates.into_iter().collect()
}
