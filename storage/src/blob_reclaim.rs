//! The disk space of blobs that are gone. RocksDB keeps large values in files of their own, and removes a file when nothing in it is
//! alive. It would also move what is alive out of the oldest quarter of these files with each compaction, garbage or not: a quarter of all
//! blobs copied again for every 64 MiB written. So it moves nothing by itself, and everything where half of it is garbage.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, TryLockError};

use rocksdb::{BottommostLevelCompaction, CompactOptions, DB, Options};

use crate::blob_store::BlobStore;
use crate::database::MIB;
use crate::error::from_rocksdb;

/// Values from this size on are in files of their own.
const FILED_BYTES: u64 = 16 * 1024;
/// Less is not worth a compaction.
const WORTHWHILE_BYTES: u64 = 64 * MIB as u64;

const FILES: &str = "rocksdb.live-blob-file-size";
const GARBAGE: &str = "rocksdb.live-blob-file-garbage-size";
const TREE: &str = "rocksdb.live-sst-files-size";
const MOVES: &str = "enable_blob_garbage_collection";

/// What was deleted and may be on the disk yet.
#[derive(Debug, Default)]
pub(crate) struct Reclaiming {
    deleted: AtomicU64,
    under_way: Mutex<()>,
}

impl Reclaiming {
    /// Of values in files.
    pub(crate) fn deleted(&self, bytes: u64) {
        self.deleted.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Larger values stay out of the tree, so that compaction does not copy them again and again.
pub(crate) fn keep_values_in_files(options: &mut Options) {
    options.set_enable_blob_files(true);
    options.set_min_blob_size(FILED_BYTES);
    options.set_enable_blob_gc(false);
    // Where it moves something, then all of it.
    options.set_blob_gc_age_cutoff(1.0);
    // Beside one long compaction there must be room for those that writers wait for: the threads are those of all databases here.
    options.set_max_background_jobs(4);
}

/// How much of a value of this size is in a file.
pub(crate) fn filed(bytes: u64) -> u64 {
    if bytes < FILED_BYTES { 0 } else { bytes }
}

fn is_worthwhile(garbage: u64, all: u64) -> bool {
    garbage >= WORTHWHILE_BYTES && garbage >= all / 2
}

impl BlobStore {
    /// Gives the space of deleted values back to the disk, if it is worth copying the others: from 64 MiB on that are half of all. Takes
    /// as long as that copying, and room for it. Tells how many bytes there are less, if it was done.
    ///
    /// # Errors
    /// When the database refuses it, or the disk has no room for the copies.
    pub fn reclaim(&self) -> io::Result<Option<u64>> {
        let db = &self.shared.db;
        let reclaiming = &self.shared.reclaiming;
        let _alone = match reclaiming.under_way.try_lock() {
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Poisoned(held)) => held.into_inner(),
            Ok(held) => held,
        };
        // What compactions have come across, and what was deleted since the last time here: of the latter they may know nothing yet.
        let deleted = reclaiming.deleted.load(Ordering::Relaxed);
        let before = taken(db)?;
        if !is_worthwhile(deleted.max(bytes(db, GARBAGE)?), before) {
            return Ok(None);
        }
        // Files in which nothing lives go with this already, and the garbage in the others is known after it.
        compact(db, BottommostLevelCompaction::Skip);
        reclaiming.deleted.fetch_sub(deleted, Ordering::Relaxed);
        let garbage = bytes(db, GARBAGE)?;
        if is_worthwhile(garbage, taken(db)?) {
            check_room(db.path(), bytes(db, FILES)?.saturating_sub(garbage))?;
            db.set_options(&[(MOVES, "true")]).map_err(from_rocksdb)?;
            // What the first part of it has just written it does not write again.
            compact(db, BottommostLevelCompaction::ForceOptimized);
            db.set_options(&[(MOVES, "false")]).map_err(from_rocksdb)?;
        }
        Ok(Some(before.saturating_sub(taken(db)?)))
    }

    /// Gives up a [`reclaim`](Self::reclaim) that is under way, and all that is not written for somebody who waits: the process ends.
    pub fn stop_copying(&self) {
        self.shared.db.cancel_all_background_work(false);
    }
}

fn compact(db: &DB, bottom: BottommostLevelCompaction) {
    let mut options = CompactOptions::default();
    options.set_exclusive_manual_compaction(false);
    options.set_bottommost_level_compaction(bottom);
    db.compact_range_opt(None::<&[u8]>, None::<&[u8]>, &options);
}

/// A database that finds no room for what it writes takes nothing more.
fn check_room(path: &Path, needed: u64) -> io::Result<()> {
    let disk = rustix::fs::statvfs(path)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free >= needed.saturating_add(WORTHWHILE_BYTES) {
        return Ok(());
    }
    let message = format!("the disk has {free} bytes left, and {needed} would be copied first");
    Err(io::Error::new(io::ErrorKind::StorageFull, message))
}

fn taken(db: &DB) -> io::Result<u64> {
    Ok(bytes(db, FILES)? + bytes(db, TREE)?)
}

fn bytes(db: &DB, property: &str) -> io::Result<u64> {
    Ok(db.property_int_value(property).map_err(from_rocksdb)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_little_garbage_is_left_and_so_is_what_is_little_beside_the_rest() {
        assert!(!is_worthwhile(0, 0));
        assert!(!is_worthwhile(WORTHWHILE_BYTES - 1, WORTHWHILE_BYTES));
        assert!(is_worthwhile(WORTHWHILE_BYTES, 2 * WORTHWHILE_BYTES));
        assert!(!is_worthwhile(WORTHWHILE_BYTES, 2 * WORTHWHILE_BYTES + 2));
    }

    #[test]
    fn a_disk_without_room_for_the_copies_is_not_filled() {
        let directory = tempfile::tempdir().expect("a directory");
        check_room(directory.path(), 0).expect("there is some room");
        let error = check_room(directory.path(), u64::MAX / 2).expect_err("not for so much");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
