//! The disks of one node. They outlive it, and a crash takes from them what was not synced.
//!
//! There are four, as in dspex-storage: the log, whose writes are acknowledged after a sync that covers them; the state,
//! which is written without syncs and synced before the log is purged; the blobs, each synced before it is seen; and the
//! snapshots, whole files that appear when they are complete. Log, state and blobs have a write-ahead log each: what a crash
//! leaves is a prefix of the batches written, for each of them another one, and a batch is there or not.

mod blob_image;
mod device;
mod log_image;
mod state_image;
#[path = "../../../storage/src/log_store/unsynced.rs"]
mod unsynced;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openraft::entry::RaftEntry;
use tokio::Random;
use tokio::sync::Notify;
use tokio::time::sleep;

pub(crate) use self::blob_image::{BlobImage, BlobWrite};
pub(crate) use self::device::Device;
pub(crate) use self::log_image::{LogImage, LogWrite};
pub(crate) use self::state_image::{StateImage, StateWrite};
use self::unsynced::Unsynced;
use crate::settings::Settings;
use crate::types::SnapshotMeta;

/// How many crashes in a thousand leave the machine its power.
const KILLED_PER_MILLE: u64 = 300;

/// Called once, after a sync that covers the write. Never called when a crash comes first.
pub(crate) type Done = Box<dyn FnOnce() + Send>;

/// A snapshot as a file: complete, checked, never changed.
#[derive(Debug)]
pub(crate) struct SnapshotFile {
    pub(crate) meta: SnapshotMeta,
    pub(crate) records: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// A handle to one node's disks; clones share them.
#[derive(Clone)]
pub(crate) struct Disk {
    contents: Arc<Mutex<Contents>>,
    written: Arc<Notify>,
}

pub(crate) struct Contents {
    pub(crate) log: Device<LogImage>,
    pub(crate) state: Device<StateImage>,
    pub(crate) blobs: Device<BlobImage>,
    snapshots: BTreeMap<u64, Arc<SnapshotFile>>,
    /// One for each write to the log that is not synced.
    acknowledgements: VecDeque<Option<Done>>,
    /// Which writes brought the entries that are not synced.
    appended: Unsynced,
    /// Those who wait for a sync without a write of their own, with the number of the write that they wait for.
    waiting: Vec<(u64, Done)>,
    random: Random,
    flush: Range<Duration>,
    fetch: Range<Duration>,
    stalls_per_mille: u64,
    stall: Range<Duration>,
    /// A fault makes syncs slower by this.
    slower: Duration,
}

impl Disk {
    pub(crate) fn new(node: u64, seed: u64, settings: &Settings) -> Self {
        let contents = Contents {
            log: Device::default(),
            state: Device::default(),
            blobs: Device::default(),
            snapshots: BTreeMap::new(),
            acknowledgements: VecDeque::new(),
            appended: Unsynced::default(),
            waiting: Vec::new(),
            random: Random::stream(seed, &format!("disk {node}")),
            flush: settings.flush.clone(),
            fetch: settings.fetch.clone(),
            stalls_per_mille: settings.stalls_per_mille,
            stall: settings.stall.clone(),
            slower: Duration::ZERO,
        };
        Self { contents: Arc::new(Mutex::new(contents)), written: Arc::default() }
    }

    pub(crate) fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes to the log. It can be read at once, and is durable when `done` is called.
    pub(crate) fn write_log(&self, write: LogWrite, done: Option<Done>) {
        let mut contents = self.contents();
        let number = contents.log.written_total() as u64 + 1;
        match &write {
            LogWrite::Append(entries) => {
                if let Some(last) = entries.last() {
                    contents.appended.appended(last.index(), number);
                }
            }
            LogWrite::Truncate(after) => contents.appended.truncated(after.map_or(0, |index| index + 1)),
            LogWrite::Purge(_) | LogWrite::Vote(_) | LogWrite::Committed(_) => {}
        }
        contents.log.write(write);
        let wanted = done.is_some();
        contents.acknowledgements.push_back(done);
        drop(contents);
        if wanted {
            self.written.notify_one();
        }
    }

    /// Calls `done` when the entries up to `index`, as far as the log holds them, are durable.
    pub(crate) fn when_synced(&self, index: u64, done: Done) {
        let mut contents = self.contents();
        let synced = contents.log.synced_total() as u64;
        match contents.appended.covering(index, synced) {
            Some(write) => contents.waiting.push((write, done)),
            None => {
                drop(contents);
                done();
            }
        }
    }

    /// Syncs the log again and again: each sync covers what was written before it began.
    pub(crate) async fn flush_log(self) {
        loop {
            self.written.notified().await;
            let (covered, takes) = {
                let mut contents = self.contents();
                (contents.log.unsynced(), contents.sync_time())
            };
            sleep(takes).await;
            let done: Vec<Done> = {
                let mut contents = self.contents();
                contents.log.sync(covered);
                let synced = contents.log.synced_total() as u64;
                let waited = contents.waiting.extract_if(.., |(write, _)| *write <= synced).collect::<Vec<_>>();
                let written = contents.acknowledgements.drain(..covered).flatten();
                waited.into_iter().map(|(_, done)| done).chain(written).collect()
            };
            done.into_iter().for_each(|done| done());
            if self.contents().acknowledgements.iter().any(Option::is_some) {
                self.written.notify_one();
            }
        }
    }

    /// Makes all of the state durable that is written when this is called.
    pub(crate) async fn sync_state(&self) {
        let (covered, takes) = {
            let mut contents = self.contents();
            (contents.state.written_total(), contents.sync_time())
        };
        sleep(takes).await;
        self.contents().state.sync_upto(covered);
    }

    /// What a sync takes that is begun now.
    pub(crate) fn sync_time(&self) -> Duration {
        self.contents().sync_time()
    }

    /// What fetching a blob takes.
    pub(crate) fn fetch_time(&self) -> Duration {
        let mut contents = self.contents();
        let range = contents.fetch.clone();
        contents.random.time(range)
    }

    /// What something takes that reads or writes a whole snapshot.
    pub(crate) fn snapshot_time(&self) -> Duration {
        let mut contents = self.contents();
        contents.sync_time() + contents.random.time(Duration::ZERO..Duration::from_millis(200))
    }

    /// Makes a complete snapshot the current one, and removes older ones.
    pub(crate) fn adopt_snapshot(&self, snapshot: Arc<SnapshotFile>) {
        let index = snapshot.meta.last_log_id.map_or(0, |id| id.index);
        let mut contents = self.contents();
        contents.snapshots.retain(|known, _| *known > index);
        contents.snapshots.insert(index, snapshot);
    }

    /// The newest snapshot.
    pub(crate) fn snapshot(&self) -> Option<Arc<SnapshotFile>> {
        self.contents().snapshots.last_key_value().map(|(_, snapshot)| Arc::clone(snapshot))
    }

    pub(crate) fn set_slower(&self, slower: Duration) {
        self.contents().slower = slower;
    }

    /// What the end of the power leaves, or that of the process alone. The node's tasks are gone already.
    pub(crate) fn crash(&self) {
        let forgotten = {
            let mut contents = self.contents();
            let Contents { log, state, blobs, random, .. } = &mut *contents;
            log.crash(random);
            blobs.crash(random);
            // Writes to the log wait in the process for its next sync; those to the state are the kernel's at once.
            if random.per_mille(KILLED_PER_MILLE) {
                state.survive();
            } else {
                state.crash(random);
            }
            contents.appended = Unsynced::default();
            (std::mem::take(&mut contents.acknowledgements), std::mem::take(&mut contents.waiting))
        };
        drop(forgotten);
    }
}

impl Contents {
    /// Whether the state holds an entry that a crash could take from the log.
    pub(crate) fn is_state_ahead(&self) -> bool {
        let applied = self.state.read().applied;
        applied.map(|id| id.index) > self.log.durable().last().map(|id| id.index)
    }

    fn sync_time(&mut self) -> Duration {
        let stalls = self.random.per_mille(self.stalls_per_mille);
        let range = if stalls { self.stall.clone() } else { self.flush.clone() };
        self.random.time(range) + self.slower
    }
}
