//! Waiting until a cluster is whole: nothing is measured on one that is still busy with its last loss.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::Failure;
use crate::system::{Cluster, View, value};

const CALL_LIMIT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(50);
/// Entries by which nodes that are asked one after the other may differ.
const BEHIND_MAX: u64 = 32;

/// Who leads.
pub struct Agreement {
    /// By its place in the order.
    pub leader: usize,
    /// All ids, in the order of the nodes.
    pub ids: Vec<u64>,
}

impl Agreement {
    pub fn told(&self) -> Value {
        json!({ "leader": self.leader })
    }
}

/// Waits until all nodes name the same leader, have applied the same, and take a write each.
pub async fn reached(cluster: &Cluster, limit_s: f64) -> Result<Agreement, Failure> {
    let end = Instant::now() + Duration::try_from_secs_f64(limit_s)?;
    loop {
        let why = match look(cluster).await {
            Ok(agreement) => return Ok(agreement),
            Err(why) => why,
        };
        if Instant::now() >= end {
            return Err(format!("the cluster is not whole after {limit_s} s: {why}").into());
        }
        sleep(PAUSE).await;
    }
}

async fn look(cluster: &Cluster) -> Result<Agreement, Failure> {
    let mut views = Vec::new();
    for node in 0..cluster.nodes.len() {
        let connection = cluster.connect(node).await?;
        views.push((connection.view(CALL_LIMIT).await?, connection));
    }
    let agreement = agreed(&views.iter().map(|(view, _)| *view).collect::<Vec<_>>())?;
    for (_, connection) in &views {
        connection.create("agreement", &value(), CALL_LIMIT).await?;
    }
    Ok(agreement)
}

fn agreed(views: &[View]) -> Result<Agreement, Failure> {
    let leaders: Vec<u64> = views.iter().map(|view| view.leader).collect();
    let ids: Vec<u64> = views.iter().map(|view| view.own).collect();
    let leader = leaders.first().copied().unwrap_or_default();
    let place = ids.iter().position(|id| *id == leader);
    let (Some(place), true) = (place, leaders.iter().all(|other| *other == leader)) else {
        return Err(format!("the nodes {ids:?} say that these lead: {leaders:?}").into());
    };
    let applied = views.iter().map(|view| view.applied);
    let behind = applied.clone().max().unwrap_or_default() - applied.min().unwrap_or_default();
    if behind > BEHIND_MAX {
        return Err(format!("one node is {behind} entries behind another").into());
    }
    Ok(Agreement { leader: place, ids })
}
