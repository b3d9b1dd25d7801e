//! Writes a snapshot of the state as it was when the builder was made, while applying goes on.

use std::io;
use std::sync::Arc;

use openraft::Snapshot;
use openraft::storage::RaftSnapshotBuilder;
use openraft::type_config::alias::SnapshotOf;
use tokio::time::sleep;

use crate::disk::{Disk, SnapshotFile};
use crate::observer::Seen;
use crate::traps::Moment;
use crate::types::Types;
use crate::world::World;

/// Holds the frozen state.
pub(crate) struct Builder {
    frozen: Option<SnapshotFile>,
    node: u64,
    disk: Disk,
    world: Arc<World>,
}

impl Builder {
    pub(super) fn new(frozen: SnapshotFile, node: u64, disk: Disk, world: Arc<World>) -> Self {
        Self { frozen: Some(frozen), node, disk, world }
    }
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = Arc<SnapshotFile>;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<Types, Arc<SnapshotFile>>> {
        let frozen = self.frozen.take().ok_or_else(|| io::Error::other("this snapshot was built already"))?;
        sleep(self.disk.snapshot_time()).await;
        let snapshot = Arc::new(frozen);
        self.disk.adopt_snapshot(Arc::clone(&snapshot));
        let index = snapshot.meta.last_log_id.map_or(0, |id| id.index);
        self.world.observer.see(Seen::Snapshot { node: self.node, index });
        self.world.reached(self.node, Moment::SnapshotBuilt).await;
        Ok(Snapshot { meta: snapshot.meta.clone(), snapshot })
    }
}
