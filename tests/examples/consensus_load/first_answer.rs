//! When a node that was just started answers.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::Failure;
use crate::system::Cluster;

const CALL_LIMIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(2);

/// The first stale and the first linearizable read of a key at this node, by the clock of the machine (seconds, monotonic), which
/// the driver read before it started the node.
pub async fn times(cluster: &Cluster, node: usize, key: &str, limit_s: f64) -> Result<Value, Failure> {
    let end = Instant::now() + Duration::try_from_secs_f64(limit_s)?;
    let stale = first(cluster, node, key, false, end).await?;
    let linearizable = first(cluster, node, key, true, end).await?;
    Ok(json!({ "stale_at_s": stale, "linearizable_at_s": linearizable }))
}

async fn first(cluster: &Cluster, node: usize, key: &str, linearizable: bool, end: Instant) -> Result<f64, Failure> {
    loop {
        let outcome = match cluster.connect(node).await {
            Ok(connection) => connection.read(key, linearizable, CALL_LIMIT).await.map_err(Failure::from),
            Err(error) => Err(error),
        };
        let now = clock_gettime(ClockId::Monotonic);
        match outcome {
            Ok(()) => return Ok(now.tv_sec as f64 + now.tv_nsec as f64 / 1e9),
            Err(error) if Instant::now() >= end => return Err(format!("{key} was not read: {error}").into()),
            Err(_) => sleep(PAUSE).await,
        }
    }
}
