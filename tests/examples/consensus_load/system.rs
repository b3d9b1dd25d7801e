//! A cluster of either system, behind the calls that both have.

use std::time::Duration;

use dspex_api::Token;
use tokio::time::timeout;
use tonic::Status;
use tonic::transport::ClientTlsConfig;

use crate::Failure;
use crate::channel;
use crate::order::{NodePlace, Order, SystemName};
use crate::{dspex, etcd};

/// The nodes, and how they are reached.
pub struct Cluster {
    pub nodes: Vec<NodePlace>,
    tls: ClientTlsConfig,
    system: SystemName,
    token: Token,
}

/// What a node says of the cluster.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Its own id.
    pub own: u64,
    /// 0: it knows none.
    pub leader: u64,
    pub applied: u64,
}

/// An HTTP/2 connection to one node. Calls share it.
#[derive(Clone)]
pub enum Connection {
    Dspex(dspex::Connection),
    Etcd(etcd::Connection),
}

impl Cluster {
    pub fn of(order: &Order) -> Result<Self, Failure> {
        let token = order.token.as_ref().map(|file| Ok::<_, Failure>(Token::new(&std::fs::read_to_string(file)?)?));
        Ok(Self {
            nodes: order.nodes.clone(),
            tls: channel::tls(order)?,
            system: order.system,
            token: token.transpose()?.unwrap_or_default(),
        })
    }

    pub async fn connect(&self, node: usize) -> Result<Connection, Failure> {
        let address = &self.nodes.get(node).ok_or_else(|| format!("there is no node {node}"))?.address;
        let channel = channel::connect(address, &self.tls).await.map_err(|error| format!("{address}: {error:?}"))?;
        Ok(match self.system {
            SystemName::Dspex => Connection::Dspex(dspex::Connection::new(channel, self.token.clone())),
            SystemName::Etcd => Connection::Etcd(etcd::Connection::new(channel)),
        })
    }

    /// So many connections to each node, in the order in which callers take turns: one to each node, then the second ones.
    pub async fn connections(&self, per_node: usize) -> Result<Vec<Connection>, Failure> {
        let mut all = Vec::new();
        for _ in 0..per_node {
            for node in 0..self.nodes.len() {
                all.push(self.connect(node).await?);
            }
        }
        Ok(all)
    }
}

impl Connection {
    /// Makes a key, so that it can be written and read.
    pub async fn create(&self, key: &str, value: &str, limit: Duration) -> Result<(), Status> {
        within(limit, async {
            match self {
                Self::Dspex(node) => node.create(key, value).await,
                Self::Etcd(node) => node.write(key, value).await,
            }
        })
        .await
    }

    pub async fn write(&self, key: &str, value: &str, limit: Duration) -> Result<(), Status> {
        within(limit, async {
            match self {
                Self::Dspex(node) => node.write(key, value).await,
                Self::Etcd(node) => node.write(key, value).await,
            }
        })
        .await
    }

    pub async fn read(&self, key: &str, linearizable: bool, limit: Duration) -> Result<(), Status> {
        within(limit, async {
            match self {
                Self::Dspex(node) => node.read(key, linearizable).await,
                Self::Etcd(node) => node.read(key, linearizable).await,
            }
        })
        .await
    }

    pub async fn view(&self, limit: Duration) -> Result<View, Status> {
        within(limit, async {
            match self {
                Self::Dspex(node) => node.view().await,
                Self::Etcd(node) => node.view().await,
            }
        })
        .await
    }

    /// Another node leads from here on; asked of the leader.
    pub async fn transfer(&self, to: u64, limit: Duration) -> Result<(), Status> {
        within(limit, async {
            match self {
                Self::Dspex(node) => node.transfer(to).await,
                Self::Etcd(node) => node.transfer(to).await,
            }
        })
        .await
    }
}

/// The value of all writes: 128 bytes, and JSON as DSPex wants it.
pub fn value() -> String {
    const BYTES: usize = 128;
    format!("\"{}\"", "v".repeat(BYTES - 2))
}

async fn within<T>(limit: Duration, call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    timeout(limit, call).await.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer within the limit")))
}
