//! Asks for a snapshot whenever the log has grown by a number of bytes. openraft counts entries only, and entries
//! differ a thousandfold in size.

use std::time::Duration;

use dspex_storage::LogStore;
use openraft::async_runtime::WatchReceiver;
use tokio::sync::watch;

use crate::types::Raft;

/// Often enough that the log overshoots by little, seldom enough to cost nothing.
const PAUSE: Duration = Duration::from_millis(200);

/// Runs until the node stops.
pub(crate) async fn run(raft: Raft, log: LogStore, mut progress: watch::Receiver<u64>, snapshot_log_bytes: u64) {
    let metrics = raft.metrics();
    while progress.changed().await.is_ok() {
        let snapshot = metrics.borrow_watched().snapshot.map(|id| id.index);
        match log.bytes_after(snapshot) {
            Ok(bytes) if bytes >= snapshot_log_bytes => {
                tracing::debug!(bytes, "the log has grown enough for a snapshot");
                if raft.trigger().snapshot().await.is_err() {
                    return;
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the size of the log cannot be read; no snapshot for now"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
