//! Group commit: one thread syncs whatever has been written since its last sync, then acknowledges it in order.
//!
//! While one sync runs, writes go on and queue up behind it; the next sync covers them all.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rocksdb::DB;

use super::Done;
use crate::error::from_rocksdb;
use crate::first_failure::FirstFailure;

/// Writes waiting for a sync. When it is full the writer waits, which is the back-pressure of a slow disk.
const QUEUE_LENGTH: usize = 1024;

pub(super) struct Flusher {
    queue: Mutex<Option<SyncSender<Queued>>>,
    thread: Mutex<Option<JoinHandle<io::Result<()>>>>,
    progress: Arc<Progress>,
}

/// A write that RocksDB has taken.
struct Queued {
    done: Done,
    /// The write's place among all writes.
    number: u64,
}

#[derive(Default)]
struct Progress {
    syncs: AtomicU64,
    /// The newest write that a sync has covered.
    synced: AtomicU64,
    /// Those who wait for a sync without a write of their own, with the write that they wait for.
    waiting: Mutex<Vec<(u64, Done)>>,
    failure: FirstFailure,
}

impl Progress {
    /// A sync has covered every write up to `newest`, or has failed.
    fn advance(&self, newest: u64) {
        let served = {
            let mut waiting = self.waiting();
            if self.failure.text().is_none() {
                self.synced.fetch_max(newest, Ordering::Release);
                let synced = self.synced.load(Ordering::Acquire);
                waiting.extract_if(.., |(write, _)| *write <= synced).collect()
            } else {
                std::mem::take(&mut *waiting)
            }
        };
        for (_, done) in served {
            done(self.failure.check());
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<(u64, Done)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flusher {
    pub(super) fn start(db: Arc<DB>, sync: bool) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE_LENGTH);
        let progress = Arc::new(Progress::default());
        let shared = Arc::clone(&progress);
        let thread = std::thread::Builder::new()
            .name("dspex-log-flush".to_owned())
            .spawn(move || run(&db, sync, &receiver, &shared))?;
        Ok(Self { queue: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)), progress })
    }

    /// Fails once a sync has failed or the log is closed.
    pub(super) fn check(&self) -> io::Result<()> {
        self.progress.failure.check()?;
        if self.queue.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            return Err(closed());
        }
        Ok(())
    }

    /// Queues the acknowledgement of a write that RocksDB has taken: the one of this number, and all before it.
    pub(super) fn queue(&self, number: u64, done: Done) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match queue {
            Some(sender) => {
                if let Err(rejected) = sender.send(Queued { done, number }) {
                    (rejected.0.done)(Err(closed()));
                }
            }
            None => done(Err(closed())),
        }
    }

    /// The newest write that a sync has covered.
    pub(super) fn synced(&self) -> u64 {
        self.progress.synced.load(Ordering::Acquire)
    }

    /// Calls `done` when a sync has covered the write, without asking for a sync of its own.
    pub(super) fn when_synced(&self, write: u64, done: Done) {
        {
            let mut waiting = self.progress.waiting();
            if self.synced() < write && self.progress.failure.text().is_none() {
                waiting.push((write, done));
                return;
            }
        }
        done(self.check());
    }

    pub(super) fn syncs(&self) -> u64 {
        self.progress.syncs.load(Ordering::Relaxed)
    }

    /// Lets the thread finish what is queued, and joins it.
    pub(super) fn stop(&self) -> io::Result<()> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        match thread {
            // The last handle can be dropped by an acknowledgement, on the thread itself.
            Some(thread) if thread.thread().id() != std::thread::current().id() => {
                thread.join().unwrap_or_else(|_| Err(io::Error::other("the flusher thread panicked")))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::error!(%error, "the log could not be synced while it was closed");
        }
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the log is closed")
}

fn run(db: &DB, sync: bool, queue: &Receiver<Queued>, progress: &Progress) -> io::Result<()> {
    while let Ok(first) = queue.recv() {
        let mut group = vec![first];
        group.extend(queue.try_iter().take(QUEUE_LENGTH));
        flush(db, sync, progress);
        progress.advance(group.iter().map(|queued| queued.number).max().unwrap_or_default());
        for queued in group {
            (queued.done)(progress.failure.check());
        }
    }
    // Unacknowledged notes (the commit pointer) are worth keeping at a clean end. Nothing was written after the last group.
    flush(db, sync, progress);
    progress.advance(u64::MAX);
    progress.failure.check()
}

fn flush(db: &DB, sync: bool, progress: &Progress) {
    if progress.failure.text().is_some() {
        return;
    }
    match db.flush_wal(sync).map_err(from_rocksdb) {
        Ok(()) => {
            progress.syncs.fetch_add(1, Ordering::Relaxed);
        }
        Err(error) => {
            tracing::error!(%error, "the log could not be synced; it takes no more writes");
            progress.failure.note(&error);
        }
    }
}
