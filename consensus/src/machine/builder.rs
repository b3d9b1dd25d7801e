//! Writes a snapshot of the state as it was when the builder was made, while applying goes on.

use std::io;

use dspex_storage::{FrozenState, SnapshotFile, Snapshots};
use openraft::storage::RaftSnapshotBuilder;
use openraft::type_config::alias::SnapshotOf;

use super::{Snapshot, index_of};
use crate::types::{SnapshotMeta, Types};

/// Holds the frozen state.
#[derive(Debug)]
pub(crate) struct Builder {
    /// Taken by the one build. A failure to freeze is kept, because making a builder cannot fail.
    frozen: Option<io::Result<FrozenState>>,
    snapshots: Snapshots,
    meta: SnapshotMeta,
}

impl Builder {
    pub(super) fn new(frozen: io::Result<FrozenState>, snapshots: Snapshots, meta: SnapshotMeta) -> Self {
        Self { frozen: Some(frozen), snapshots, meta }
    }
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<Types, SnapshotFile>> {
        let frozen = self.frozen.take().ok_or_else(|| io::Error::other("this snapshot was built already"))??;
        let (snapshots, index) = (self.snapshots.clone(), index_of(self.meta.last_log_id.as_ref()));
        let write = move || snapshots.write(frozen, index);
        let snapshot = tokio::task::spawn_blocking(write).await.map_err(io::Error::other)??;
        tracing::info!(index, path = %snapshot.path().display(), "wrote a snapshot");
        Ok(Snapshot { meta: self.meta.clone(), snapshot })
    }
}
