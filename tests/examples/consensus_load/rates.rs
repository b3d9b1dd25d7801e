//! Calls per second with so many clients, each with its next call as soon as it has an answer.
//!
//! The clients share some connections to each node. A client's calls go to the nodes in turn, so that with one client, too,
//! a third of them meets the leader, whichever node that is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::Status;

use crate::Failure;
use crate::cpu::{Reading, Used};
use crate::order::{Call, Rates};
use crate::system::{Cluster, Connection, value};

const CALL_LIMIT: Duration = Duration::from_secs(10);
/// After a call that failed, so that a broken cluster is not flooded.
const PAUSE: Duration = Duration::from_millis(10);

const WARMING_UP: u8 = 0;
const MEASURING: u8 = 1;
const ENDED: u8 = 2;

/// One of the callers.
struct Client {
    number: usize,
    key: String,
    connections: Arc<Vec<Connection>>,
    nodes: usize,
    what: Call,
    phase: Arc<AtomicU8>,
}

/// What it has seen while it was measured.
#[derive(Default)]
struct Seen {
    latencies_us: Vec<u32>,
    failures: usize,
    last_failure: Option<String>,
}

pub async fn measure(cluster: &Cluster, order: &Rates) -> Result<Value, Failure> {
    let connections = Arc::new(cluster.connections(order.connections_per_node).await?);
    let leader = leader(&connections).await?;
    let phase = Arc::new(AtomicU8::new(WARMING_UP));
    let mut prepared = JoinSet::new();
    for number in 0..order.clients {
        let client = Client {
            number,
            key: format!("load-{number}"),
            connections: Arc::clone(&connections),
            nodes: cluster.nodes.len(),
            what: order.what,
            phase: Arc::clone(&phase),
        };
        prepared.spawn(client.prepared());
    }
    // All keys are there before the warm-up begins.
    let mut clients = JoinSet::new();
    for client in prepared.join_all().await {
        clients.spawn(client?.work());
    }
    sleep(Duration::try_from_secs_f64(order.warm_up_s)?).await;
    let before = Reading::take(cluster)?;
    phase.store(MEASURING, Ordering::Relaxed);
    sleep(Duration::try_from_secs_f64(order.seconds)?).await;
    phase.store(ENDED, Ordering::Relaxed);
    let used = Reading::take(cluster)?.since(&before);
    let mut all = Seen::default();
    for seen in clients.join_all().await {
        all.latencies_us.extend(seen.latencies_us);
        all.failures += seen.failures;
        all.last_failure = seen.last_failure.or(all.last_failure);
    }
    let is_steady = self::leader(&connections).await? == leader;
    answer(all, &used, is_steady)
}

/// Who leads, as the first node sees it.
async fn leader(connections: &[Connection]) -> Result<u64, Failure> {
    let first = connections.first().ok_or("there is nobody to call")?;
    Ok(first.view(CALL_LIMIT).await?.leader)
}

fn answer(mut all: Seen, used: &Used, is_steady: bool) -> Result<Value, Failure> {
    all.latencies_us.sort_unstable();
    let Some(last) = all.latencies_us.len().checked_sub(1) else {
        return Err(format!("no call was answered: {}", all.last_failure.unwrap_or_default()).into());
    };
    let calls = all.latencies_us.len() as f64;
    let at = |part: f64| f64::from(all.latencies_us[(last as f64 * part) as usize]) / 1000.0;
    Ok(json!({
        "per_second": calls / used.wall,
        "p50_ms": at(0.5),
        "p99_ms": at(0.99),
        "most_ms": at(1.0),
        "servers_cpu_us": 1e6 * used.servers / calls,
        "client_cpu_us": 1e6 * used.client / calls,
        "servers_cpus": used.servers / used.wall,
        "client_cpus": used.client / used.wall,
        "others_cpus": used.others_cpus,
        // Another leader afterwards: what was measured is an election, too.
        "steady": is_steady,
        "failures": all.failures,
        "failure": all.last_failure,
    }))
}

impl Client {
    async fn prepared(self) -> Result<Self, Failure> {
        self.connection(0).create(&self.key, &value(), CALL_LIMIT).await?;
        Ok(self)
    }

    async fn work(self) -> Seen {
        let value = value();
        let mut seen = Seen::default();
        for turn in 0.. {
            let begun = Instant::now();
            let outcome = self.call(self.connection(turn), &value).await;
            let measured = match self.phase.load(Ordering::Relaxed) {
                WARMING_UP => false,
                MEASURING => true,
                _ => break,
            };
            match outcome {
                Ok(()) if measured => {
                    seen.latencies_us.push(u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX));
                }
                Ok(()) => {}
                Err(status) => {
                    seen.failures += usize::from(measured);
                    seen.last_failure = Some(status.to_string());
                    sleep(PAUSE).await;
                }
            }
        }
        seen
    }

    /// Another node with each turn; of its connections always the same, which clients with other numbers do not share.
    fn connection(&self, turn: usize) -> &Connection {
        let node = (self.number + turn) % self.nodes;
        let per_node = self.connections.len() / self.nodes;
        &self.connections[(self.number / self.nodes) % per_node * self.nodes + node]
    }

    async fn call(&self, connection: &Connection, value: &str) -> Result<(), Status> {
        match self.what {
            Call::Write => connection.write(&self.key, value, CALL_LIMIT).await,
            Call::Read => connection.read(&self.key, true, CALL_LIMIT).await,
            Call::ReadStale => connection.read(&self.key, false, CALL_LIMIT).await,
        }
    }
}
