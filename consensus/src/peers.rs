//! This node among its peers: how they reach it, and which cluster it belongs to.

use dspex_model::NodeId;
use dspex_storage::IdentityFile;
use dspex_transport::Transport;

use crate::formation::plan;
use crate::formation::{Formation, Introduction};
use crate::service::PeerService;
use crate::types::Raft;

/// How consensus reaches its peers, and they this node.
#[derive(Debug, Clone)]
pub struct Peers {
    /// Connections to them.
    pub transport: Transport,
    /// What that transport serves.
    pub service: PeerService,
    /// Where they reach this node: HOST:PORT.
    pub address: String,
    /// Where the first voters are, and how many.
    pub formation: Formation,
}

/// What this node says of itself.
#[derive(Debug, Clone)]
pub(crate) struct Own {
    pub(crate) transport: Transport,
    pub(crate) address: String,
    pub(crate) formation: Formation,
    identity: IdentityFile,
    raft: Raft,
}

impl Own {
    pub(crate) fn new(peers: &Peers, identity: IdentityFile, raft: Raft) -> Self {
        Self {
            transport: peers.transport.clone(),
            address: peers.address.clone(),
            formation: peers.formation.clone(),
            identity,
            raft,
        }
    }

    /// Whether the log has begun.
    async fn formed(&self) -> bool {
        self.raft.is_initialized().await.unwrap_or(true)
    }

    pub(crate) async fn introduction(&self) -> Introduction {
        let formed = self.formed().await;
        Introduction {
            node: NodeId(*self.raft.node_id()),
            address: self.address.clone(),
            cluster: self.cluster(),
            formed,
            expect: self.formation.expect,
        }
    }

    /// The cluster whose id this node has stored.
    pub(crate) fn cluster(&self) -> Option<String> {
        self.identity.get().cluster_id
    }

    /// Stores the id of the cluster that this node becomes a part of. It blocks for a sync.
    ///
    /// # Errors
    /// A log that has begun without a cluster is never taken into one: its entries would be lost.
    pub(crate) async fn join(&self, cluster: &str) -> std::io::Result<()> {
        if let Err(error) = uuid::Uuid::try_parse(cluster) {
            return Err(std::io::Error::other(format!("{cluster:?} is not the id of a cluster: {error}")));
        }
        if self.cluster().is_none() && self.formed().await {
            return Err(std::io::Error::other(plan::ALONE));
        }
        let (identity, id) = (self.identity.clone(), cluster.to_owned());
        let stored =
            tokio::task::spawn_blocking(move || identity.join_cluster(&id).map_err(std::io::Error::other)).await;
        stored.map_err(std::io::Error::other)??;
        self.transport.joined(cluster);
        Ok(())
    }
}
