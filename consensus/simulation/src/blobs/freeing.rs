//! Freeing what nothing refers to: at the start of a node, and when a run has gone. As `actors/src/freeing.rs`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use dspex_model::{Digest, State};
use tokio::sync::{RwLock, RwLockReadGuard};
use tokio::time::sleep;

use crate::handle::{Freshness, Handle};

/// Before the next attempt, while there is no quorum: that of `actors/src/reconcile.rs`.
const SWEEP_PAUSE: Duration = Duration::from_secs(10);

/// Keeps what is on its way into the log from being freed; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Freeing {
    /// Held for reading from a blob's write until the log names it.
    gate: Arc<RwLock<()>>,
}

impl Freeing {
    /// Nothing is freed while the guard lives.
    pub(crate) async fn hold(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().await
    }
}

/// Runs until the node stops.
pub(crate) async fn run(handle: Handle) {
    let mut freed = handle.view.freed.clone();
    loop {
        sleep(handle.blobs().all_pinned_for()).await;
        freed.mark_unchanged();
        while sweep(&handle).await.is_err() {
            sleep(SWEEP_PAUSE).await;
        }
        if freed.changed().await.is_err() {
            return;
        }
    }
}

async fn sweep(handle: &Handle) -> Result<(), crate::handle::Failure> {
    let all = handle.blobs().digests();
    let _alone = handle.freeing.gate.write().await;
    let kept = handle.read(Freshness::Linearizable, |_, state| referenced(state)).await?;
    let free: Vec<Digest> = all.into_iter().filter(|digest| !kept.contains(digest)).collect();
    let count = handle.blobs().delete_many(&free).await as u64;
    handle.network.world.observer.count(|statistics| statistics.blobs_freed += count);
    Ok(())
}

/// Every blob that the state refers to.
pub(crate) fn referenced(state: &State) -> BTreeSet<Digest> {
    state.blobs().collect()
}
