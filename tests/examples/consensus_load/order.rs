//! What is to be done, as the benchmark's driver says it.

use std::path::PathBuf;

use serde::Deserialize;

/// One order: a cluster, and one task with it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    pub system: SystemName,
    pub nodes: Vec<NodePlace>,
    /// PEM files.
    pub ca: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// DSPex wants one with every call.
    pub token: Option<PathBuf>,
    pub task: Task,
}

/// Whose API is spoken.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SystemName {
    Dspex,
    Etcd,
}

/// A server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodePlace {
    /// HOST:PORT for clients.
    pub address: String,
    pub pid: u32,
}

/// What is measured, or waited for.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Task {
    /// Waits until all nodes have one leader, have applied the same, and write.
    Agree { limit_s: f64 },
    /// Calls per second, and what they take.
    Rates(Rates),
    /// The longest time without a write when the leader is killed.
    Kill,
    /// The same when leadership is handed over.
    Transfer,
    /// Writes many keys once.
    Fill(Filling),
    /// When a node that was just started reads a key for the first time.
    FirstAnswer { node: usize, key: String, limit_s: f64 },
}

/// Callers that each send their next call as soon as they have an answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    pub what: Call,
    pub clients: usize,
    pub connections_per_node: usize,
    pub warm_up_s: f64,
    pub seconds: f64,
}

/// What they call.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// A value of 128 bytes, unconditionally; each client has a key of its own.
    Write,
    /// Linearizable.
    Read,
    /// What the asked node has.
    ReadStale,
}

/// Keys that then lie there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filling {
    pub keys: usize,
    pub clients: usize,
    pub connections_per_node: usize,
}
