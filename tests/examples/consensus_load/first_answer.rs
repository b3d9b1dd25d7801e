//! When a node that was just started answers.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::Failure;
use crate::system::Cluster;

/// Of an attempt: one that began too early must not hold up the next.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(2);

/// The first stale and the first linearizable read of a key at this node, by the clock of the machine (seconds, monotonic), which
/// the driver read before it started the node.
pub async fn times(cluster: &Cluster, node: usize, key: &str, limit_s: f64) -> Result<Value, Failure> {
    let end = Instant::now() + Duration::try_from_secs_f64(limit_s)?;
    let stale = first(cluster, node, key, false, end).await?;
    let linearizable = first(cluster, node, key, true, end).await?;
    Ok(json!({ "stale_at_s": stale, "linearizable_at_s": linearizable }))
}

async fn read(cluster: &Cluster, node: usize, key: &str, linearizable: bool) -> Result<(), Failure> {
    Ok(cluster.connect(node).await?.read(key, linearizable, ATTEMPT_LIMIT).await?)
}

async fn first(cluster: &Cluster, node: usize, key: &str, linearizable: bool, end: Instant) -> Result<f64, Failure> {
    loop {
        let attempt = timeout(ATTEMPT_LIMIT, read(cluster, node, key, linearizable));
        let outcome = attempt.await.unwrap_or_else(|_| Err("the node does not answer".into()));
        let now = clock_gettime(ClockId::Monotonic);
        match outcome {
            Ok(()) => return Ok(now.tv_sec as f64 + now.tv_nsec as f64 / 1e9),
            Err(error) if Instant::now() >= end => return Err(format!("{key} was not read: {error}").into()),
            Err(_) => sleep(PAUSE).await,
        }
    }
}
