//! This node among its peers: how they reach it, and which cluster it belongs to.

use dspex_model::NodeId;
use dspex_storage::IdentityFile;
use dspex_transport::Transport;

use crate::formation::Introduction;
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
    /// How many voters form the cluster; 0: this node never forms one.
    pub expect: u32,
}

/// What this node says of itself.
#[derive(Debug, Clone)]
pub(crate) struct Own {
    pub(crate) transport: Transport,
    pub(crate) address: String,
    expect: u32,
    identity: IdentityFile,
    raft: Raft,
}

impl Own {
    pub(crate) fn new(peers: &Peers, identity: IdentityFile, raft: Raft) -> Self {
        Self {
            transport: peers.transport.clone(),
            address: peers.address.clone(),
            expect: peers.expect,
            identity,
            raft,
        }
    }

    pub(crate) async fn introduction(&self) -> Introduction {
        let formed = self.raft.is_initialized().await.unwrap_or(true);
        Introduction {
            node: NodeId(*self.raft.node_id()),
            address: self.address.clone(),
            cluster: self.cluster(),
            formed,
            expect: self.expect,
        }
    }

    /// The cluster whose id this node has stored.
    pub(crate) fn cluster(&self) -> Option<String> {
        self.identity.get().cluster_id
    }

    /// Stores the id of the cluster that this node becomes a part of. It blocks for a sync.
    pub(crate) async fn join(&self, cluster: &str) -> std::io::Result<()> {
        let (identity, id) = (self.identity.clone(), cluster.to_owned());
        let stored =
            tokio::task::spawn_blocking(move || identity.join_cluster(&id).map_err(std::io::Error::other)).await;
        stored.map_err(std::io::Error::other)??;
        self.transport.joined(cluster);
        Ok(())
    }
}
