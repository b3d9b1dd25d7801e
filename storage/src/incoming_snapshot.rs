//! A snapshot that arrives in pieces from elsewhere. Until it is complete and verified it is nothing.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::durable_file;
use crate::error::corrupt;
use crate::snapshot_file::SnapshotFile;
use crate::snapshots::Snapshots;

/// The file that the pieces go to. Dropped before its end, it is removed.
#[derive(Debug)]
pub struct IncomingSnapshot {
    path: PathBuf,
    file: File,
    length: u64,
    digest: [u8; 32],
    has: u64,
    kept: bool,
}

impl IncomingSnapshot {
    /// Begins with nothing. `digest` is what the file will end with.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn begin(snapshots: &Snapshots, length: u64, digest: [u8; 32]) -> io::Result<Self> {
        let path = snapshots.part();
        let file = durable_file::create(&path)?;
        Ok(Self { path, file, length, digest, has: 0, kept: false })
    }

    /// The digest that it will end with.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Bytes that have arrived.
    pub fn has(&self) -> u64 {
        self.has
    }

    /// Takes the bytes at `offset` when they are the next ones; others change nothing. Returns what has arrived.
    ///
    /// # Errors
    /// When they cannot be written, or are more than was announced.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<u64> {
        if offset == self.has {
            let has = self.has + bytes.len() as u64;
            if has > self.length {
                return Err(corrupt(format!("the snapshot has more than the {} bytes announced", self.length)));
            }
            self.file.write_all_at(bytes, offset)?;
            self.has = has;
        }
        Ok(self.has)
    }

    /// Syncs and verifies it, to the last byte.
    ///
    /// # Errors
    /// When something is missing or damaged; the file is removed.
    pub fn finish(mut self) -> io::Result<SnapshotFile> {
        if self.has != self.length {
            return Err(corrupt(format!("the snapshot has {} of {} bytes", self.has, self.length)));
        }
        self.file.sync_all()?;
        let snapshot = SnapshotFile::open(&self.path)?;
        if snapshot.digest()? != self.digest {
            return Err(corrupt("the snapshot is not the one announced"));
        }
        snapshot.read(|_, _| Ok(()))?;
        self.kept = true;
        Ok(snapshot)
    }
}

impl Drop for IncomingSnapshot {
    fn drop(&mut self) {
        if !self.kept {
            // What stays is removed at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}
