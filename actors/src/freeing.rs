//! Freeing the blobs of a deleted run: those that nothing else refers to, and nobody is about to refer to.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use dspex_model::{Digest, State};
use dspex_storage::BlobStore;
use tokio::sync::{RwLock, RwLockReadGuard};
use tracing::{debug, warn};

/// How long an upload is kept for the proposal that will name it.
const PIN_FOR: Duration = Duration::from_secs(600);

/// Keeps what is on its way into the log from being freed.
#[derive(Debug, Default)]
pub(crate) struct Freeing {
    /// Held for reading from a blob's write until the log names it.
    gate: RwLock<()>,
    /// When each upload came whose proposal is still to come.
    pins: Mutex<HashMap<Digest, VecDeque<Instant>>>,
}

impl Freeing {
    /// Nothing is freed while the guard lives.
    pub(crate) async fn hold(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().await
    }

    /// An upload whose proposal comes with a later call.
    pub(crate) fn pin(&self, digest: Digest) {
        let mut pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        pins.retain(|_, uploads| uploads.back().is_some_and(|last| last.elapsed() < PIN_FOR));
        pins.entry(digest).or_default().push_back(Instant::now());
    }

    /// The proposal that one upload was for has come.
    pub(crate) fn unpin(&self, digest: Digest) {
        let mut pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(uploads) = pins.get_mut(&digest) {
            uploads.pop_front();
        }
    }

    /// Deletes every blob that `state` does not refer to and that is not pinned: what an expired run or an upload that no
    /// run ever named left behind.
    pub(crate) async fn sweep(&self, blobs: &BlobStore, referenced: impl FnOnce() -> HashSet<Digest>) {
        let store = blobs.clone();
        match tokio::task::spawn_blocking(move || store.digests()).await {
            Ok(Ok(all)) => self.free(blobs, all.into_iter().collect(), referenced).await,
            Ok(Err(error)) => warn!(%error, "the blobs could not be listed"),
            Err(error) => warn!(%error, "listing the blobs failed"),
        }
    }

    /// Deletes the candidates that `state` does not refer to and that are not pinned.
    pub(crate) async fn free(
        &self,
        blobs: &BlobStore,
        candidates: HashSet<Digest>,
        referenced: impl FnOnce() -> HashSet<Digest>,
    ) {
        let _alone = self.gate.write().await;
        let kept = referenced();
        let pinned = |digest: &Digest| {
            let pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
            pins.get(digest).and_then(VecDeque::back).is_some_and(|last| last.elapsed() < PIN_FOR)
        };
        let free: Vec<Digest> =
            candidates.into_iter().filter(|digest| !kept.contains(digest) && !pinned(digest)).collect();
        let blobs = blobs.clone();
        let freed = tokio::task::spawn_blocking(move || blobs.delete_many(&free).map(|()| free.len()));
        match freed.await {
            Ok(Ok(count)) => debug!(count, "freed blobs"),
            Ok(Err(error)) => warn!(%error, "blobs of a deleted run were not freed"),
            Err(error) => warn!(%error, "freeing blobs failed"),
        }
    }
}

/// Every blob that a run of the state refers to.
pub(crate) fn referenced(state: &State) -> HashSet<Digest> {
    state.runs().flat_map(|(_, run)| run.blobs()).collect()
}
