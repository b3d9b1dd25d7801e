//! Asks for a snapshot whenever the log has grown, as `consensus/src/compaction.rs` does; by entries, which are alike here.

use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::network::Network;
use crate::types::Raft;

const PAUSE: Duration = Duration::from_millis(200);

/// Runs until the node stops.
pub(crate) async fn run(raft: Raft, network: Network, mut progress: watch::Receiver<u64>) {
    let metrics = raft.metrics();
    while progress.changed().await.is_ok() {
        let snapshot = metrics.borrow_watched().snapshot.map_or(0, |id| id.index);
        let last = network.disk.contents().log.read().last().map_or(0, |id| id.index);
        if last.saturating_sub(snapshot) >= network.world.settings.snapshot_entries
            && raft.trigger().snapshot().await.is_err()
        {
            return;
        }
        sleep(PAUSE).await;
    }
}
