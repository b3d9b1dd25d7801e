//! Content-addressed values: sha256 -> bytes. A digest that was returned can be read after any crash.
//!
//! ```text
//! b | digest        -> 0 | bytes                                 a value up to CHUNK_BYTES
//!                      1 | length u64 | set u64                  a larger one: its chunks are in a set
//! c | set | number  -> crc32c u32 | bytes                        a chunk (set u64, number u32, big endian)
//! s | set           -> digest                                    the set is in use
//! ```
//! A set is written before its digest is known; `s` arrives with `b` in one batch, so a set without it is what an
//! interrupted upload left, and the next start removes it.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dspex_model::Digest;
use rocksdb::{DB, DBCompressionType, DBRecoveryMode, Direction, IteratorMode, WriteBatch, WriteOptions};

use crate::blob_reader::BlobReader;
use crate::blob_reclaim::{self, Reclaiming};
use crate::blob_writer::BlobWriter;
use crate::database::{self, Creation, MIB};
use crate::error::{corrupt, from_rocksdb};
use crate::first_failure::FirstFailure;
use crate::lock::DirectoryLock;
use crate::pins::Pins;

/// Values above this are stored in chunks of this size.
pub(crate) const CHUNK_BYTES: usize = MIB;

const INLINE: u8 = 0;
const CHUNKED: u8 = 1;

/// A handle to the blobs; clones share it.
#[derive(Clone)]
pub struct BlobStore {
    pub(crate) shared: Arc<Shared>,
}

impl std::fmt::Debug for BlobStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobStore").field("path", &self.shared.db.path()).finish()
    }
}

pub(crate) struct Shared {
    pub(crate) db: DB,
    sync: bool,
    pub(crate) failure: FirstFailure,
    next_set: AtomicU64,
    pins: Pins,
    /// Readers for whom nothing may be freed; raised while `sets` is held.
    pub(crate) holds: AtomicUsize,
    pub(crate) reclaiming: Reclaiming,
    /// Held while a set is attached to its digest or taken from it: two equal uploads must not leave one unowned.
    pub(crate) sets: Mutex<()>,
    _lock: Arc<DirectoryLock>,
}

/// What stands under a digest.
pub(crate) enum Stored {
    Inline(Vec<u8>),
    Chunked { length: u64, set: u64 },
}

impl Stored {
    fn length(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Chunked { length, .. } => *length,
        }
    }
}

impl BlobStore {
    pub(crate) fn open(path: &Path, creation: Creation, sync: bool, lock: Arc<DirectoryLock>) -> io::Result<Self> {
        // As in the log: what was acknowledged must not be dropped silently after a damaged record.
        let mut options = database::options(16 * MIB, DBRecoveryMode::TolerateCorruptedTailRecords);
        options.set_compression_type(DBCompressionType::Lz4);
        blob_reclaim::keep_values_in_files(&mut options);
        options.set_blob_compression_type(DBCompressionType::Lz4);
        let db = database::open(path, options, creation)?;
        let next_set = remove_abandoned_sets(&db)?;
        let shared = Shared {
            db,
            sync,
            failure: FirstFailure::default(),
            next_set: AtomicU64::new(next_set),
            pins: Pins::default(),
            holds: AtomicUsize::new(0),
            reclaiming: Reclaiming::default(),
            sets: Mutex::new(()),
            _lock: lock,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Stores a value; synced when it returns.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub fn put(&self, bytes: &[u8]) -> io::Result<Digest> {
        let digests = self.put_many(&[bytes])?;
        digests.into_iter().next().ok_or_else(|| io::Error::other("no digest for one value"))
    }

    /// Stores values with one sync.
    ///
    /// # Errors
    /// When one cannot be stored; then none of the small ones is promised.
    pub fn put_many(&self, values: &[impl AsRef<[u8]>]) -> io::Result<Vec<Digest>> {
        let mut batch = WriteBatch::default();
        let mut digests = Vec::with_capacity(values.len());
        for value in values {
            let value = value.as_ref();
            if value.len() > CHUNK_BYTES {
                let mut writer = self.writer();
                writer.write(value)?;
                digests.push(writer.finish()?);
                continue;
            }
            let digest = Digest::of(value);
            if !self.contains(&digest)? {
                batch.put(value_key(&digest), inline(value));
            }
            digests.push(digest);
        }
        // Also when nothing is new: an equal value may have been written by a call that has not synced yet.
        self.commit(batch)?;
        Ok(digests)
    }

    /// Starts a value that arrives in pieces and may be large.
    pub fn writer(&self) -> BlobWriter {
        BlobWriter::new(self.clone(), self.shared.next_set.fetch_add(1, Ordering::Relaxed))
    }

    /// Reads a value whole, verified against its digest.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn get(&self, digest: &Digest) -> io::Result<Option<Vec<u8>>> {
        let Some(reader) = self.reader(digest)? else { return Ok(None) };
        let mut bytes = Vec::with_capacity(usize::try_from(reader.length()).map_err(io::Error::other)?);
        for chunk in reader {
            bytes.extend_from_slice(&chunk?);
        }
        Ok(Some(bytes))
    }

    /// Reads a value chunk by chunk. The last chunk comes only if the whole matches the digest.
    ///
    /// # Errors
    /// When its entry is damaged.
    pub fn reader(&self, digest: &Digest) -> io::Result<Option<BlobReader>> {
        Ok(self.stored(digest)?.map(|stored| BlobReader::new(self.clone(), *digest, stored)))
    }

    /// Whether a value is stored.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn contains(&self, digest: &Digest) -> io::Result<bool> {
        Ok(self.shared.db.get_pinned(value_key(digest)).map_err(from_rocksdb)?.is_some())
    }

    /// Those of these values that are not stored. What is there, and what comes, stays for `keep`, if that is given, whoever
    /// frees: the proposal that names it is on its way.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn missing(&self, digests: &[Digest], keep: Option<Duration>) -> io::Result<Vec<Digest>> {
        // First: one that is being freed is missing, or is kept.
        if let Some(keep) = keep {
            digests.iter().for_each(|digest| self.pin(*digest, keep));
        }
        let _sets = self.shared.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut missing = Vec::new();
        for digest in digests {
            if !self.contains(digest)? {
                missing.push(*digest);
            }
        }
        Ok(missing)
    }

    /// A chunk of a value with the length of the whole; `None`: there is no such value or chunk.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn chunk(&self, digest: &Digest, number: u32) -> io::Result<Option<(u64, Vec<u8>)>> {
        match self.stored(digest)? {
            Some(Stored::Inline(bytes)) if number == 0 => Ok(Some((bytes.len() as u64, bytes))),
            Some(Stored::Chunked { length, set }) if u64::from(number) < length.div_ceil(CHUNK_BYTES as u64) => {
                Ok(Some((length, crate::blob_reader::chunk(self, digest, set, number)?)))
            }
            _ => Ok(None),
        }
    }

    /// An upload whose proposal comes with a later call: it is not freed for so long.
    pub fn pin(&self, digest: Digest, keep: Duration) {
        self.shared.pins.pin(digest, keep);
    }

    /// Nothing is freed for so long: who stored it before this start, and for which proposal, is not known any more.
    pub fn pin_all(&self, keep: Duration) {
        self.shared.pins.pin_all(keep);
    }

    /// For how long nothing is freed yet.
    pub fn all_pinned_for(&self) -> Duration {
        self.shared.pins.all_pinned_for()
    }

    /// The proposal that one upload was for has come.
    pub fn unpin(&self, digest: &Digest) {
        self.shared.pins.unpin(digest);
    }

    /// Removes values with one sync, except those that are pinned, and none while somebody [holds](Self::hold) all of them; one
    /// that is not there is no error. Returns how many went.
    ///
    /// # Errors
    /// When the database refuses the write.
    pub fn delete_many(&self, digests: &[Digest]) -> io::Result<usize> {
        let _sets = self.shared.sets.lock().unwrap_or_else(PoisonError::into_inner);
        if self.shared.holds.load(Ordering::SeqCst) > 0 {
            return Ok(0);
        }
        let mut batch = WriteBatch::default();
        let (mut count, mut bytes) = (0, 0);
        for digest in digests.iter().filter(|digest| !self.shared.pins.is_pinned(digest)) {
            let Some(stored) = self.stored(digest)? else { continue };
            count += 1;
            batch.delete(value_key(digest));
            bytes += blob_reclaim::filed(stored.length());
            if let Stored::Chunked { set, .. } = stored {
                remove_set(&mut batch, set);
                batch.delete(set_key(set));
            }
        }
        self.commit(batch)?;
        self.shared.reclaiming.deleted(bytes);
        Ok(count)
    }

    /// The digests of all values, in order.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn digests(&self) -> io::Result<Vec<Digest>> {
        let first = value_key(&Digest([0; 32]));
        let mut digests = Vec::new();
        for item in self.shared.db.iterator(IteratorMode::From(&first, Direction::Forward)) {
            let (key, _) = item.map_err(from_rocksdb)?;
            let Some(digest) = digest_of_value(&key) else { break };
            digests.push(digest);
        }
        Ok(digests)
    }

    pub(crate) fn stored(&self, digest: &Digest) -> io::Result<Option<Stored>> {
        let Some(value) = self.shared.db.get_pinned(value_key(digest)).map_err(from_rocksdb)? else {
            return Ok(None);
        };
        let damaged = || corrupt(format!("the entry of blob {digest} is unreadable"));
        match value.split_first().ok_or_else(damaged)? {
            (&INLINE, bytes) => Ok(Some(Stored::Inline(bytes.to_vec()))),
            (&CHUNKED, rest) => {
                let (length, set) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
                let set: [u8; 8] = set.try_into().map_err(|_| damaged())?;
                Ok(Some(Stored::Chunked { length: u64::from_le_bytes(*length), set: u64::from_be_bytes(set) }))
            }
            _ => Err(damaged()),
        }
    }

    /// Writes a batch, synced.
    pub(crate) fn commit(&self, batch: WriteBatch) -> io::Result<()> {
        let mut options = WriteOptions::default();
        options.set_sync(self.shared.sync);
        self.write(|db| if batch.is_empty() { db.flush_wal(self.shared.sync) } else { db.write_opt(batch, &options) })
    }

    /// Writes, unless a write has failed before: RocksDB takes nothing more after that, and does not say why.
    pub(crate) fn write(&self, write: impl FnOnce(&DB) -> Result<(), rocksdb::Error>) -> io::Result<()> {
        self.shared.failure.check()?;
        write(&self.shared.db).map_err(from_rocksdb).inspect_err(|error| self.shared.failure.note(error))
    }

    /// Why no more blobs are taken, once a write has failed: the directory must be opened again.
    pub fn failure(&self) -> Option<String> {
        self.shared.failure.text().map(str::to_owned)
    }
}

/// Removes chunks whose upload never finished; returns the first set number that was never used.
fn remove_abandoned_sets(db: &DB) -> io::Result<u64> {
    let mut next = 0;
    let mut batch = WriteBatch::default();
    loop {
        let from = chunk_key(next, 0);
        let Some(item) = db.iterator(IteratorMode::From(&from, Direction::Forward)).next() else { break };
        let (key, _) = item.map_err(from_rocksdb)?;
        let Some(set) = set_of_chunk(&key) else { break };
        if db.get_pinned(set_key(set)).map_err(from_rocksdb)?.is_none() {
            remove_set(&mut batch, set);
        }
        next = set + 1;
    }
    if !batch.is_empty() {
        db.write(batch).map_err(from_rocksdb)?;
    }
    Ok(next)
}

pub(crate) fn remove_set(batch: &mut WriteBatch, set: u64) {
    batch.delete_range(chunk_key(set, 0), chunk_key(set.saturating_add(1), 0));
}

pub(crate) fn inline(bytes: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(bytes.len() + 1);
    value.push(INLINE);
    value.extend_from_slice(bytes);
    value
}

pub(crate) fn chunked(length: u64, set: u64) -> Vec<u8> {
    let mut value = vec![CHUNKED];
    value.extend_from_slice(&length.to_le_bytes());
    value.extend_from_slice(&set.to_be_bytes());
    value
}

pub(crate) fn value_key(digest: &Digest) -> [u8; 33] {
    let mut key = [b'b'; 33];
    key[1..].copy_from_slice(&digest.0);
    key
}

fn digest_of_value(key: &[u8]) -> Option<Digest> {
    key.strip_prefix(b"b")?.try_into().ok().map(Digest)
}

pub(crate) fn chunk_key(set: u64, number: u32) -> [u8; 13] {
    let mut key = [b'c'; 13];
    key[1..9].copy_from_slice(&set.to_be_bytes());
    key[9..].copy_from_slice(&number.to_be_bytes());
    key
}

pub(crate) fn set_key(set: u64) -> [u8; 9] {
    let mut key = [b's'; 9];
    key[1..].copy_from_slice(&set.to_be_bytes());
    key
}

fn set_of_chunk(key: &[u8]) -> Option<u64> {
    let set = key.strip_prefix(b"c")?.first_chunk::<8>()?;
    Some(u64::from_be_bytes(*set))
}
