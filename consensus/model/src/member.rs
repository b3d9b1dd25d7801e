//! A node as the cluster knows it, beside its vote: how people and clients reach it.

use serde::{Deserialize, Serialize};

/// The cluster that a log belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterInfo {
    /// Its id, the same in the directory of every node.
    pub id: String,
    /// Log time at which it was formed, or restored.
    pub formed_ms: u64,
}

/// What a node says of itself when it starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// Its name for people.
    pub name: String,
    /// Where peers reach it: HOST:PORT.
    pub peer_address: String,
    /// Where clients reach it: HOST:PORT.
    pub api_address: String,
    /// The version of the program.
    pub version: String,
    /// The ed25519 key that it signs with, as its certificate binds it.
    pub signing_key: Option<[u8; 32]>,
}

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// What it said last.
    pub info: NodeInfo,
    /// Log time at which it was first heard of.
    pub admitted_ms: u64,
    /// Log time at which it last started.
    pub started_ms: u64,
}

/// A node that works and has no vote, for as long as its lease lasts: it renews it while it is there, so one that vanished needs
/// nobody to remove it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLease {
    /// What it said last.
    pub info: NodeInfo,
    /// Log time at which it was first heard of.
    pub admitted_ms: u64,
    /// Log time at which the lease ends.
    pub until_ms: u64,
}

impl NodeLease {
    /// Whether the node is there, as far as the log knows.
    pub fn holds(&self, now_ms: u64) -> bool {
        now_ms < self.until_ms
    }
}
