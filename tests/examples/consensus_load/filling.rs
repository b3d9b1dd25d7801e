//! Many keys, each written once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Failure;
use crate::order::Filling;
use crate::system::{Cluster, Connection, value};

const CALL_LIMIT: Duration = Duration::from_secs(10);
/// Of one key; a machine that does something else as well may lose its leader meanwhile.
const ATTEMPTS_MAX: usize = 5;
const PAUSE: Duration = Duration::from_millis(200);

pub async fn fill(cluster: &Cluster, order: &Filling) -> Result<Value, Failure> {
    let connections = cluster.connections(order.connections_per_node).await?;
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for number in 0..order.clients {
        let connection = connections[number % connections.len()].clone();
        clients.spawn(work(connection, Arc::clone(&next), order.keys));
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    Ok(json!({ "seconds": begun.elapsed().as_secs_f64() }))
}

async fn work(connection: Connection, next: Arc<AtomicUsize>, keys: usize) -> Result<(), Failure> {
    let value = value();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= keys {
            return Ok(());
        }
        create(&connection, &key(number), &value).await?;
    }
}

async fn create(connection: &Connection, key: &str, value: &str) -> Result<(), Failure> {
    let mut attempt = 1;
    while let Err(status) = connection.create(key, value, CALL_LIMIT).await {
        if attempt == ATTEMPTS_MAX {
            return Err(format!("{key} was not written in {ATTEMPTS_MAX} attempts: {status}").into());
        }
        attempt += 1;
        sleep(PAUSE).await;
    }
    Ok(())
}

/// The key of a number.
fn key(number: usize) -> String {
    format!("idle-{number:06}")
}
