//! The snapshots of one directory: the newest is the current one, older ones are removed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::durable_file;
use crate::frozen_state::FrozenState;
use crate::snapshot_file::SnapshotFile;

const EXTENSION: &str = "snapshot";
const PART_EXTENSION: &str = "part";

/// A handle to the directory of snapshots; clones share it.
#[derive(Debug, Clone)]
pub struct Snapshots {
    path: Arc<PathBuf>,
    parts: Arc<AtomicU64>,
}

impl Snapshots {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        durable_file::create_directory(path)?;
        let snapshots = Self { path: Arc::new(path.to_path_buf()), parts: Arc::default() };
        // Files without their final name were being written when the process ended.
        snapshots.remove(|file| extension(file) == Some(PART_EXTENSION))?;
        Ok(snapshots)
    }

    /// The newest snapshot.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn current(&self) -> io::Result<Option<SnapshotFile>> {
        let newest = self.files()?.into_iter().filter_map(|file| Some((index_of(&file)?, file))).max();
        newest.map(|(_, file)| SnapshotFile::open(&file)).transpose()
    }

    /// A name for a file that will become a snapshot: written here first, then [`adopt`](Self::adopt)ed.
    pub fn part(&self) -> PathBuf {
        let number = self.parts.fetch_add(1, Ordering::Relaxed);
        self.path.join(format!("{number:06}.{PART_EXTENSION}"))
    }

    /// Writes a frozen state as the snapshot of the entries up to `index`.
    ///
    /// # Errors
    /// When it cannot be written; the current snapshot stays.
    pub fn write(&self, frozen: FrozenState, index: u64) -> io::Result<SnapshotFile> {
        let part = self.part();
        frozen.write_to(&part).inspect_err(|_| {
            let _ = fs::remove_file(&part);
        })?;
        self.rename(&part, index)
    }

    /// Makes a verified snapshot the current one. A file from elsewhere is copied.
    ///
    /// # Errors
    /// When it cannot be copied or renamed.
    pub fn adopt(&self, snapshot: &SnapshotFile, index: u64) -> io::Result<SnapshotFile> {
        if snapshot.path() == self.path_of(index) {
            return snapshot.try_clone();
        }
        if snapshot.path().parent() == Some(&self.path) && extension(snapshot.path()) == Some(PART_EXTENSION) {
            return self.rename(snapshot.path(), index);
        }
        let part = self.part();
        let mut file: File = durable_file::create(&part)?;
        io::copy(&mut snapshot.raw()?, &mut file)?;
        file.sync_all()?;
        self.rename(&part, index)
    }

    fn rename(&self, part: &Path, index: u64) -> io::Result<SnapshotFile> {
        let path = self.path_of(index);
        durable_file::rename(part, &path)?;
        let older = |file: &Path| index_of(file).is_some_and(|found| found < index);
        self.remove(older)?;
        SnapshotFile::open(&path)
    }

    fn path_of(&self, index: u64) -> PathBuf {
        self.path.join(format!("{index:020}.{EXTENSION}"))
    }

    fn files(&self) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(&*self.path)?.map(|entry| entry.map(|entry| entry.path())).collect()
    }

    fn remove(&self, which: impl Fn(&Path) -> bool) -> io::Result<()> {
        for file in self.files()?.iter().filter(|file| which(file)) {
            fs::remove_file(file)?;
        }
        Ok(())
    }
}

fn extension(file: &Path) -> Option<&str> {
    file.extension()?.to_str()
}

fn index_of(file: &Path) -> Option<u64> {
    (extension(file) == Some(EXTENSION)).then(|| file.file_stem()?.to_str()?.parse().ok())?
}
