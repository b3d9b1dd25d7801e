//! The replicated log on disk: entries by index, the vote, and the pointers beside them.
//!
//! A write goes into RocksDB at once, so that it can be read when the call returns, and is acknowledged by the
//! flusher thread after a sync that covers it ([`flusher`]). All writes pass through one mutex: the order of the
//! calls is the order on disk and the order of the acknowledgements.

mod flusher;
mod record;
mod unsynced;

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rocksdb::{DB, DBRecoveryMode, Direction, IteratorMode, ReadOptions, WriteBatch};

use self::flusher::Flusher;
use self::record::{Record, entry_index, entry_key};
use self::unsynced::Unsynced;
use crate::database::{self, Creation, MIB};
use crate::error::{corrupt, from_rocksdb};
use crate::lock::DirectoryLock;

/// Called once on the flusher thread, after the write is durable or has failed. It must not block.
pub type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

const VOTE: &[u8] = b"m/vote";
const COMMITTED: &[u8] = b"m/committed";
const LAST_PURGED: &[u8] = b"m/last_purged";

/// The entries that the log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogBounds {
    /// The first entry's index.
    pub first: Option<u64>,
    /// The last entry's index.
    pub last: Option<u64>,
}

/// Counters since the log was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogStatistics {
    /// Times that the log was synced.
    pub syncs: u64,
    /// Entries written.
    pub appended_entries: u64,
}

/// A handle to the log; clones share it.
#[derive(Clone)]
pub struct LogStore {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for LogStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogStore").field("bounds", &self.bounds()).finish()
    }
}

struct Shared {
    // Before `db`: the thread is joined first, then the database is closed, then the lock is released.
    flusher: Flusher,
    db: Arc<DB>,
    position: Mutex<Position>,
    /// Changed only while the position is held.
    unsynced: Mutex<Unsynced>,
    /// The commit pointer that the next write carries.
    noted: Mutex<Option<Vec<u8>>>,
    appended_entries: AtomicU64,
    _lock: Arc<DirectoryLock>,
}

/// Where the next entry goes. Its mutex is what puts all writes in one order.
#[derive(Debug, Clone, Copy, Default)]
struct Position {
    bounds: LogBounds,
    /// Payload bytes of the whole log ever written up to the last entry, purged ones included.
    end_bytes: u64,
    /// Writes since the log was opened.
    writes: u64,
}

impl LogStore {
    pub(crate) fn open(path: &Path, creation: Creation, sync: bool, lock: Arc<DirectoryLock>) -> io::Result<Self> {
        // A torn last record is the normal trace of a crash; damage anywhere before it is an error. (The default,
        // point in time, would silently drop acknowledged entries after a damaged record.)
        let mut options = database::options(8 * MIB, DBRecoveryMode::TolerateCorruptedTailRecords);
        // Records wait in memory for the flusher: one write and one sync for a whole group.
        options.set_manual_wal_flush(true);
        options.set_max_total_wal_size(64 * MIB as u64);
        let db = Arc::new(database::open(path, options, creation)?);
        let position = Position::find(&db)?;
        let flusher = Flusher::start(Arc::clone(&db), sync)?;
        Ok(Self {
            shared: Arc::new(Shared {
                flusher,
                db,
                position: Mutex::new(position),
                // What was found at the start was made durable by opening it: RocksDB has moved it out of its log.
                unsynced: Mutex::default(),
                noted: Mutex::default(),
                appended_entries: AtomicU64::new(0),
                _lock: lock,
            }),
        })
    }

    /// Writes consecutive entries. They can be read when this returns and are durable when `done` is called.
    pub fn append(&self, entries: &[(u64, Vec<u8>)], done: Done) {
        let mut position = self.position();
        let mut next = *position;
        let mut batch = WriteBatch::default();
        for (index, payload) in entries {
            if next.bounds.last.is_some_and(|last| *index != last + 1) {
                let last = next.bounds.last;
                return done(Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("entry {index} does not follow the last entry {last:?}"),
                )));
            }
            next.end_bytes += payload.len() as u64;
            batch.put(entry_key(*index), Record::encode(*index, next.end_bytes, payload));
            next.bounds.first.get_or_insert(*index);
            next.bounds.last = Some(*index);
        }
        if let Some((last, _)) = entries.last() {
            self.unsynced().appended(*last, position.writes + 1);
        }
        self.shared.appended_entries.fetch_add(entries.len() as u64, Ordering::Relaxed);
        self.commit(&mut position, next, batch, done);
    }

    /// Removes all entries after `index`, all of them for `None`.
    pub fn truncate_after(&self, index: Option<u64>, done: Done) {
        let mut position = self.position();
        let from = index.map_or(0, |index| index.saturating_add(1));
        let mut batch = WriteBatch::default();
        batch.delete_range(entry_key(from), entry_key(u64::MAX));
        let next = match self.position_after_truncation(*position, from) {
            Ok(next) => next,
            Err(error) => return done(Err(error)),
        };
        self.unsynced().truncated(from);
        self.commit(&mut position, next, batch, done);
    }

    /// Removes all entries up to `index` and stores `last_purged` in the same batch.
    pub fn purge_upto(&self, index: u64, last_purged: &[u8], done: Done) {
        let mut position = self.position();
        let mut batch = WriteBatch::default();
        batch.delete_range(entry_key(0), entry_key(index.saturating_add(1)));
        batch.put(LAST_PURGED, last_purged);
        let mut next = *position;
        let LogBounds { first, last } = position.bounds;
        next.bounds = match last {
            Some(last) if last > index => LogBounds { first: first.max(Some(index + 1)), last: Some(last) },
            _ => LogBounds::default(),
        };
        self.commit(&mut position, next, batch, done);
    }

    /// Stores the vote.
    pub fn save_vote(&self, vote: &[u8], done: Done) {
        let mut position = self.position();
        let mut batch = WriteBatch::default();
        batch.put(VOTE, vote);
        let unchanged = *position;
        self.commit(&mut position, unchanged, batch, done);
    }

    /// Calls `done` when the entries up to `index`, as far as the log holds them, are durable: at once, when they are already.
    pub fn when_synced(&self, index: u64, done: Done) {
        let wanted = {
            let _order = self.position();
            self.unsynced().covering(index, self.shared.flusher.synced())
        };
        match wanted {
            Some(write) => self.shared.flusher.when_synced(write, done),
            None => done(self.shared.flusher.check()),
        }
    }

    /// Notes how far the log is committed, and calls `done` at once. No write by itself: the next one carries it, or the end of the
    /// log's use, and a lost note is found again by the next election.
    pub fn save_committed(&self, committed: &[u8], done: Done) {
        let checked = self.shared.flusher.check();
        if checked.is_ok() {
            *self.noted() = Some(committed.to_vec());
        }
        done(checked);
    }

    /// The stored vote.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn vote(&self) -> io::Result<Option<Vec<u8>>> {
        self.shared.db.get(VOTE).map_err(from_rocksdb)
    }

    /// The commit pointer, also one that no write has carried yet.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn committed(&self) -> io::Result<Option<Vec<u8>>> {
        let _order = self.position();
        let noted = self.noted().clone();
        noted.map_or_else(|| self.shared.db.get(COMMITTED).map_err(from_rocksdb), |noted| Ok(Some(noted)))
    }

    /// What the last purge stored.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn last_purged(&self) -> io::Result<Option<Vec<u8>>> {
        self.shared.db.get(LAST_PURGED).map_err(from_rocksdb)
    }

    /// Reads the entries of a range that the log holds, in order, stopping after `most_bytes` (but never before the
    /// first entry).
    ///
    /// # Errors
    /// When an entry is damaged or missing between others.
    pub fn read(&self, range: Range<u64>, most_bytes: u64) -> io::Result<Vec<(u64, Vec<u8>)>> {
        let mut entries: Vec<(u64, Vec<u8>)> = Vec::new();
        if range.is_empty() {
            return Ok(entries);
        }
        let mut bytes = 0;
        for (index, record) in scan(&self.shared.db, range) {
            let record = record?;
            if let Some((previous, _)) = entries.last()
                && index != previous + 1
            {
                return Err(corrupt(format!("log entries between {previous} and {index} are missing")));
            }
            bytes += record.payload.len() as u64;
            entries.push((index, record.payload));
            if bytes >= most_bytes {
                break;
            }
        }
        Ok(entries)
    }

    /// The entries that the log holds.
    pub fn bounds(&self) -> LogBounds {
        self.position().bounds
    }

    /// Payload bytes of the entries after `index`, of all entries for `None`.
    ///
    /// # Errors
    /// When an entry is damaged.
    pub fn bytes_after(&self, index: Option<u64>) -> io::Result<u64> {
        let position = *self.position();
        let start = match index.map(|index| get(&self.shared.db, index)).transpose()?.flatten() {
            Some(record) => record.end_bytes,
            // Purged or never there: count from the first entry that is.
            None => match position.bounds.first.map(|first| get(&self.shared.db, first)).transpose()?.flatten() {
                Some(record) => record.end_bytes - record.payload.len() as u64,
                None => position.end_bytes,
            },
        };
        Ok(position.end_bytes.saturating_sub(start))
    }

    /// Counters since opening.
    pub fn statistics(&self) -> LogStatistics {
        LogStatistics {
            syncs: self.shared.flusher.syncs(),
            appended_entries: self.shared.appended_entries.load(Ordering::Relaxed),
        }
    }

    /// Syncs what is left and joins the flusher thread. Writes through any clone fail from here on.
    ///
    /// # Errors
    /// When the last sync fails.
    pub fn close(&self) -> io::Result<()> {
        self.carry_note()?;
        self.shared.flusher.stop()
    }

    /// Writes a batch and queues its acknowledgement while the order is held.
    fn commit(&self, position: &mut Position, next: Position, mut batch: WriteBatch, done: Done) {
        if let Err(error) = self.shared.flusher.check() {
            return done(Err(error));
        }
        if let Some(noted) = self.noted().take() {
            batch.put(COMMITTED, noted);
        }
        match self.shared.db.write(batch).map_err(from_rocksdb) {
            Ok(()) => {
                *position = Position { writes: position.writes + 1, ..next };
                self.shared.flusher.queue(position.writes, done);
            }
            Err(error) => self.fail(position, error, done),
        }
    }

    /// Tells why a write failed. While a sync fails RocksDB refuses writes without a reason ("Seen error"), and the flusher is
    /// about to learn it.
    fn fail(&self, position: &Position, error: io::Error, done: Done) {
        self.shared.flusher.queue(position.writes, Box::new(move |synced| done(synced.and(Err(error)))));
    }

    fn position_after_truncation(&self, position: Position, from: u64) -> io::Result<Position> {
        match position.bounds {
            LogBounds { first: Some(first), last: Some(last) } if from <= last => {
                if from <= first {
                    let start = self.bytes_before(first)?;
                    return Ok(Position { bounds: LogBounds::default(), end_bytes: start, ..position });
                }
                let record = get(&self.shared.db, from - 1)?
                    .ok_or_else(|| corrupt(format!("log entry {} is missing", from - 1)))?;
                let bounds = LogBounds { first: Some(first), last: Some(from - 1) };
                Ok(Position { bounds, end_bytes: record.end_bytes, ..position })
            }
            _ => Ok(position),
        }
    }

    fn bytes_before(&self, index: u64) -> io::Result<u64> {
        let record = get(&self.shared.db, index)?.ok_or_else(|| corrupt(format!("log entry {index} is missing")))?;
        Ok(record.end_bytes - record.payload.len() as u64)
    }

    /// Writes a commit pointer that no other write will carry. The last sync takes it along.
    fn carry_note(&self) -> io::Result<()> {
        let _order = self.position();
        match self.noted().take() {
            Some(noted) if self.shared.flusher.check().is_ok() => {
                self.shared.db.put(COMMITTED, noted).map_err(from_rocksdb)
            }
            _ => Ok(()),
        }
    }

    fn noted(&self) -> MutexGuard<'_, Option<Vec<u8>>> {
        self.shared.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unsynced(&self) -> MutexGuard<'_, Unsynced> {
        self.shared.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn position(&self) -> MutexGuard<'_, Position> {
        self.shared.position.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Position {
    /// Reads a log that was just opened from its first entry to its last. What is damaged or missing is told now, and not on the
    /// day when another node needs it.
    fn find(db: &DB) -> io::Result<Self> {
        let mut options = ReadOptions::default();
        // It is read once: the cache is for what is read again.
        options.fill_cache(false);
        let mut position = Self::default();
        for (index, record) in scan_with(db, 0..u64::MAX, options) {
            let record = record?;
            if let Some(last) = position.bounds.last
                && index != last + 1
            {
                return Err(corrupt(format!("log entries between {last} and {index} are missing")));
            }
            position.bounds = LogBounds { first: position.bounds.first.or(Some(index)), last: Some(index) };
            position.end_bytes = record.end_bytes;
        }
        Ok(position)
    }
}

fn get(db: &DB, index: u64) -> io::Result<Option<Record>> {
    let value = db.get_pinned(entry_key(index)).map_err(from_rocksdb)?;
    value.map(|value| Record::decode(index, &value)).transpose()
}

/// Entries of a range in order. The bounds keep the iterator away from purged ranges.
fn scan(db: &DB, range: Range<u64>) -> impl Iterator<Item = (u64, io::Result<Record>)> + '_ {
    scan_with(db, range, ReadOptions::default())
}

fn scan_with(
    db: &DB,
    range: Range<u64>,
    mut options: ReadOptions,
) -> impl Iterator<Item = (u64, io::Result<Record>)> + '_ {
    let from = entry_key(range.start);
    options.set_iterate_lower_bound(from);
    options.set_iterate_upper_bound(entry_key(range.end));
    let items = db.iterator_opt(IteratorMode::From(&from, Direction::Forward), options);
    items.map(|item| match item.map_err(from_rocksdb) {
        Ok((key, value)) => match entry_index(&key) {
            Ok(index) => (index, Record::decode(index, &value)),
            Err(error) => (0, Err(error)),
        },
        Err(error) => (0, Err(error)),
    })
}
