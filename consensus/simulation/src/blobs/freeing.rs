//! Freeing what nothing refers to: at the start of a node, and when a run or a segment of executions has gone. As `actors/src/freeing.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dspex_model::{Digest, State, execution_blobs, named_blobs, next_execution};
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
    let (unnamed, looked) = handle.unnamed(handle.blobs().digests().into_iter().collect(), 0);
    let _alone = handle.freeing.gate.write().await;
    let kept = handle.read(Freshness::Linearizable, |_, state| state.blobs().collect::<BTreeSet<_>>()).await?;
    let (unnamed, _) = handle.unnamed(unnamed, looked);
    let free: Vec<Digest> = unnamed.into_iter().filter(|digest| !kept.contains(digest)).collect();
    let count = handle.blobs().delete_many(&free).await as u64;
    handle.network.world.observer.count(|statistics| statistics.blobs_freed += count);
    Ok(())
}

/// Blobs that executions from a number on refer to, with the number.
fn of_executions(records: &BTreeMap<Vec<u8>, Vec<u8>>, from: u64) -> Vec<(u64, Digest)> {
    execution_blobs(records, from, usize::MAX).unwrap_or_else(|error| panic!("{error}"))
}

/// Every blob that the state or an execution refers to.
pub(crate) fn referenced(state: &State, records: &BTreeMap<Vec<u8>, Vec<u8>>) -> BTreeSet<Digest> {
    state.blobs().chain(of_executions(records, 0).into_iter().map(|(_, digest)| digest)).collect()
}

impl Handle {
    /// As `consensus/src/executions.rs`.
    fn unnamed(&self, mut blobs: BTreeSet<Digest>, from: u64) -> (BTreeSet<Digest>, u64) {
        let contents = self.network.disk.contents();
        let records = &contents.state.read().records;
        let next = next_execution(records).unwrap_or_else(|error| panic!("{error}"));
        let candidates: Vec<Digest> = blobs.iter().copied().collect();
        for digest in named_blobs(records, &candidates, from).unwrap_or_else(|error| panic!("{error}")) {
            blobs.remove(&digest);
        }
        (blobs, next)
    }

    /// Some blobs that executions from a number on refer to.
    #[expect(clippy::unused_async, reason = "the original reads a disk that can fail")]
    pub(crate) async fn named_by_executions(&self, from: u64) -> Result<Vec<(u64, Digest)>, super::BlobError> {
        Ok(of_executions(&self.network.disk.contents().state.read().records, from))
    }
}
