//! What the log has produced: the pairs that `apply` changed, with the log position they belong to.
//!
//! A batch holds the changes, the applied position and the membership, so after any crash they belong together.
//! Batches are not synced: the log keeps every entry until [`StateStore::sync`] has succeeded. They go through the database's own log
//! all the same: a state that is ahead of the replicated log tells that this one has lost entries, by a disk that did not keep what it
//! had synced.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use dspex_model::Change;
use rocksdb::{DB, DBRecoveryMode, IteratorMode, ReadOptions, WriteBatch};

use crate::database::{self, Creation, MIB};
use crate::durable_file;
use crate::error::{corrupt, from_rocksdb};
use crate::frozen_state::FrozenState;
use crate::lock::DirectoryLock;
use crate::snapshot_file::SnapshotFile;

pub(crate) const DATA_PREFIX: u8 = b'd';
pub(crate) const APPLIED: &[u8] = b"m/applied";
pub(crate) const MEMBERSHIP: &[u8] = b"m/membership";
const CURRENT: &str = "CURRENT";

/// A handle to the state; clones share it.
#[derive(Clone)]
pub struct StateStore {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for StateStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateStore").field("path", &self.shared.path).finish()
    }
}

struct Shared {
    path: PathBuf,
    /// The database in use. An install swaps it; a frozen state keeps the old one alive while it reads.
    db: RwLock<Arc<DB>>,
    _lock: Arc<DirectoryLock>,
}

impl StateStore {
    pub(crate) fn open(path: &Path, creation: Creation, lock: Arc<DirectoryLock>) -> io::Result<Self> {
        durable_file::create_directory(path)?;
        let name = match std::fs::read_to_string(path.join(CURRENT)) {
            Ok(name) => check_name(name.trim())?,
            Err(error) if error.kind() == io::ErrorKind::NotFound && creation == Creation::Allowed => directory_name(1),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(corrupt("CURRENT is missing")),
            Err(error) => return Err(error),
        };
        let db = database::open(&path.join(&name), options(), creation)?;
        if creation == Creation::Allowed {
            durable_file::replace(&path.join(CURRENT), name.as_bytes())?;
        }
        remove_others(path, &name)?;
        let db = RwLock::new(Arc::new(db));
        Ok(Self { shared: Arc::new(Shared { path: path.to_path_buf(), db, _lock: lock }) })
    }

    /// Stores changes, the position they lead to, and the membership where it changed. One batch, not synced.
    ///
    /// # Errors
    /// When the database refuses the write.
    pub fn write<'a>(
        &self,
        changes: impl IntoIterator<Item = &'a Change>,
        applied: &[u8],
        membership: Option<&[u8]>,
    ) -> io::Result<()> {
        let mut batch = WriteBatch::default();
        for change in changes {
            match change {
                Change::Put { key, value } => batch.put(data_key(key), value),
                Change::Remove { key } => batch.delete(data_key(key)),
                // Backwards the database would take it for damage.
                Change::RemoveRange { from, to } if from < to => batch.delete_range(data_key(from), data_key(to)),
                Change::RemoveRange { .. } => {}
            }
        }
        batch.put(APPLIED, applied);
        if let Some(membership) = membership {
            batch.put(MEMBERSHIP, membership);
        }
        self.db().write(batch).map_err(from_rocksdb)
    }

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// When the sync fails.
    pub fn sync(&self) -> io::Result<()> {
        self.db().flush_wal(true).map_err(from_rocksdb)
    }

    /// Hands every pair to `visit`, in key order, but for those from one key up to another: however many these are, they take
    /// no time.
    ///
    /// # Errors
    /// When a pair cannot be read, or `visit` fails.
    pub fn load(
        &self,
        (from, to): (&[u8], &[u8]),
        mut visit: impl FnMut(&[u8], &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let db = self.db();
        for (from, to) in [(vec![DATA_PREFIX], data_key(from)), (data_key(to), vec![DATA_PREFIX + 1])] {
            let mut options = ReadOptions::default();
            options.set_iterate_lower_bound(from);
            options.set_iterate_upper_bound(to);
            for item in db.iterator_opt(IteratorMode::Start, options) {
                let (key, value) = item.map_err(from_rocksdb)?;
                visit(&key[1..], &value)?;
            }
        }
        Ok(())
    }

    /// The position that the state belongs to.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn applied(&self) -> io::Result<Option<Vec<u8>>> {
        self.db().get(APPLIED).map_err(from_rocksdb)
    }

    /// The last applied membership.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn membership(&self) -> io::Result<Option<Vec<u8>>> {
        self.db().get(MEMBERSHIP).map_err(from_rocksdb)
    }

    /// Fixes the state as it is now for a snapshot, while writes go on.
    ///
    /// # Errors
    /// When the reading thread cannot be started.
    pub fn freeze(&self) -> io::Result<FrozenState> {
        FrozenState::start(self.db())
    }

    /// Replaces the state by a snapshot. The file is verified to its last byte before the state is swapped; a
    /// failure or a power cut at any moment leaves the old state or the new one.
    ///
    /// # Errors
    /// When the snapshot is damaged or cannot be written.
    pub fn install(&self, snapshot: &SnapshotFile) -> io::Result<()> {
        let mut current = self.shared.db.write().unwrap_or_else(PoisonError::into_inner);
        let old_name = check_name(std::fs::read_to_string(self.shared.path.join(CURRENT))?.trim())?;
        let name = directory_name(directory_number(&old_name)? + 1);
        let path = self.shared.path.join(&name);
        if path.exists() {
            std::fs::remove_dir_all(&path)?;
        }
        let db = fill(&path, snapshot).inspect_err(|_| {
            let _ = std::fs::remove_dir_all(&path);
        })?;
        durable_file::sync_directory(&path)?;
        durable_file::replace(&self.shared.path.join(CURRENT), name.as_bytes())?;
        let old = std::mem::replace(&mut *current, Arc::new(db));
        drop(current);
        // A snapshot may still be reading the old state; then the next start removes it.
        if Arc::into_inner(old).is_some() {
            std::fs::remove_dir_all(self.shared.path.join(old_name))?;
        }
        Ok(())
    }

    pub(crate) fn db(&self) -> Arc<DB> {
        Arc::clone(&self.shared.db.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn options() -> rocksdb::Options {
    // Whatever is lost at the end is applied again from the log, so a prefix of the batches is enough.
    let mut options = database::options(16 * MIB, DBRecoveryMode::PointInTime);
    options.set_compression_type(rocksdb::DBCompressionType::Lz4);
    options
}

/// Loads a snapshot into a new database and flushes it.
fn fill(path: &Path, snapshot: &SnapshotFile) -> io::Result<DB> {
    const BATCH_BYTES: usize = 4 * MIB;
    let db = database::open(path, options(), Creation::Allowed)?;
    let mut batch = WriteBatch::default();
    let header = snapshot.read(|key, value| {
        batch.put(data_key(key), value);
        if batch.size_in_bytes() >= BATCH_BYTES {
            db.write(std::mem::take(&mut batch)).map_err(from_rocksdb)?;
        }
        Ok(())
    })?;
    if let Some(applied) = &header.applied {
        batch.put(APPLIED, applied);
    }
    if let Some(membership) = &header.membership {
        batch.put(MEMBERSHIP, membership);
    }
    db.write(batch).map_err(from_rocksdb)?;
    db.flush_wal(true).map_err(from_rocksdb)?;
    db.flush().map_err(from_rocksdb)?;
    Ok(db)
}

pub(crate) fn data_key(key: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(key.len() + 1);
    stored.push(DATA_PREFIX);
    stored.extend_from_slice(key);
    stored
}

fn directory_name(number: u64) -> String {
    format!("{number:06}")
}

fn directory_number(name: &str) -> io::Result<u64> {
    name.parse().map_err(|_| corrupt(format!("CURRENT names {name:?}")))
}

/// The pointer must name one of our directories: it is joined to a path.
fn check_name(name: &str) -> io::Result<String> {
    directory_number(name).map(|_| name.to_owned())
}

/// Removes what an interrupted install or a reader of the old state left behind.
fn remove_others(path: &Path, current: &str) -> io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name != current && directory_number(&name).is_ok() {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
