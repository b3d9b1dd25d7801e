//! The state at one position of the log, as a file: what a backup is made of.

use std::fs;
use std::io;

use dspex_storage::{SnapshotFile, SnapshotHeader, Snapshots, StateStore};
use tokio::task::spawn_blocking;

use crate::codec;
use crate::consensus::{Consensus, Freshness};
use crate::error::ImageError;

/// Where a state stands in its log: after the entry with this term and index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPosition {
    /// The term of the leader that appended it.
    pub term: u64,
    /// Its index.
    pub index: u64,
}

impl LogPosition {
    /// What a snapshot of the state says of its position.
    ///
    /// # Errors
    /// When that cannot be read, or the state is older than the first entry.
    pub fn of(header: &SnapshotHeader) -> io::Result<Self> {
        let nothing = || io::Error::new(io::ErrorKind::InvalidData, "the state belongs to no entry of a log");
        let applied = header.applied.as_deref().map(codec::decode_position).transpose()?.flatten();
        let applied = applied.ok_or_else(nothing)?;
        Ok(Self { term: applied.leader_id.term, index: applied.index })
    }
}

/// The state after an entry.
#[derive(Debug)]
pub struct StateImage {
    /// All of it. The file has no name any more; it is gone when this is dropped.
    pub file: SnapshotFile,
    /// The entry.
    pub position: LogPosition,
}

impl Consensus {
    /// The state of a moment after this call, as fresh as is asked for. It takes as long, and as much room in the data
    /// directory, as the state is large; nothing waits for it.
    ///
    /// # Errors
    /// When no leader confirms it in time, or it cannot be written.
    pub async fn image(&self, freshness: Freshness) -> Result<StateImage, ImageError> {
        self.read_at(freshness, |_| ()).await?;
        let (store, snapshots) = (self.state_store().clone(), self.snapshots().clone());
        let taken = spawn_blocking(move || take(&store, &snapshots)).await.map_err(io::Error::other);
        Ok(taken.and_then(|image| image)?)
    }
}

fn take(store: &StateStore, snapshots: &Snapshots) -> io::Result<StateImage> {
    let part = snapshots.part();
    let written = store.freeze().and_then(|frozen| frozen.write_to(&part));
    let opened = written.and_then(|header| Ok((SnapshotFile::open(&part)?, LogPosition::of(&header)?)));
    // Whatever ends this process, nothing is left of it.
    let _ = fs::remove_file(&part);
    let (file, position) = opened?;
    Ok(StateImage { file, position })
}
