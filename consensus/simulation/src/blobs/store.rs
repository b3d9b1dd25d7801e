//! The blobs of one node: `dspex_storage::BlobStore` over the simulated disk. A value is seen when it is synced.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dspex_model::Digest;
use tokio::time::{Instant, sleep};

use super::KEEP;
use crate::disk::{BlobWrite, Disk};
use crate::mutant::Mutant;
use crate::observer::Seen;
use crate::world::World;

/// A handle to the blobs; clones share it. It ends with its node's life, and its pins with it.
#[derive(Clone)]
pub(crate) struct BlobStore {
    node: u64,
    disk: Disk,
    world: Arc<World>,
    pins: Arc<Mutex<BTreeMap<Digest, Instant>>>,
    /// Until then nothing is freed.
    all_pinned: Instant,
}

impl BlobStore {
    pub(crate) fn new(node: u64, disk: Disk, world: Arc<World>) -> Self {
        let forgets = world.mutant == Some(Mutant::ForgetsPins);
        let all_pinned = Instant::now() + if forgets { Duration::ZERO } else { KEEP };
        Self { node, disk, world, pins: Arc::default(), all_pinned }
    }

    /// For how long nothing is freed yet.
    pub(crate) fn all_pinned_for(&self) -> Duration {
        self.all_pinned.saturating_duration_since(Instant::now())
    }

    /// Stores a value; synced when it returns.
    pub(crate) async fn put(&self, bytes: Arc<[u8]>) -> Digest {
        let digest = Digest::of(&bytes);
        let unsynced = self.world.mutant == Some(Mutant::HoldsBlobsUnsynced);
        let takes = self.disk.sync_time();
        if !unsynced {
            sleep(takes).await;
        }
        if !self.contains(&digest) {
            let mut contents = self.disk.contents();
            contents.blobs.write(BlobWrite::Put(vec![(digest, bytes)]));
            if !unsynced {
                contents.blobs.sync(usize::MAX);
            }
            drop(contents);
            self.world.observer.see(Seen::BlobHeld { node: self.node, digest, synced: !unsynced });
        }
        digest
    }

    pub(crate) fn get(&self, digest: &Digest) -> Option<Arc<[u8]>> {
        self.disk.contents().blobs.read().values.get(digest).cloned()
    }

    pub(crate) fn contains(&self, digest: &Digest) -> bool {
        self.disk.contents().blobs.read().values.contains_key(digest)
    }

    /// Those of these values that are not stored. What is there, and what comes, stays for `keep`, if that is given.
    #[expect(clippy::unnecessary_wraps, reason = "the original reads a disk that can fail")]
    pub(crate) fn missing(&self, digests: &[Digest], keep: Option<Duration>) -> io::Result<Vec<Digest>> {
        if let Some(keep) = keep {
            digests.iter().for_each(|digest| self.pin(*digest, keep));
        }
        Ok(digests.iter().filter(|digest| !self.contains(digest)).copied().collect())
    }

    /// The digests of all values, in order.
    pub(crate) fn digests(&self) -> Vec<Digest> {
        self.disk.contents().blobs.read().values.keys().copied().collect()
    }

    /// It is not freed for so long.
    pub(crate) fn pin(&self, digest: Digest, keep: Duration) {
        let mut pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        let until = pins.entry(digest).or_insert_with(Instant::now);
        *until = (*until).max(Instant::now() + keep);
    }

    /// Removes values, except those that are pinned; synced when it returns. Gives how many went.
    pub(crate) async fn delete_many(&self, digests: &[Digest]) -> usize {
        let takes = self.disk.sync_time();
        sleep(takes).await;
        let free: Vec<Digest> = {
            let (pins, now) = (self.pins.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
            let pinned = |digest: &Digest| self.all_pinned > now || pins.get(digest).is_some_and(|until| *until > now);
            digests.iter().filter(|digest| !pinned(digest) && self.contains(digest)).copied().collect()
        };
        let mut contents = self.disk.contents();
        contents.blobs.write(BlobWrite::Delete(free.clone()));
        contents.blobs.sync(usize::MAX);
        drop(contents);
        for digest in &free {
            self.world.observer.see(Seen::BlobGone { node: self.node, digest: *digest });
        }
        free.len()
    }
}
