//! This node among others: its connections, and becoming a member.

use std::net::SocketAddr;
use std::time::Duration;

use dspex_consensus::{Consensus, Formation, FormationError, PeerService, Peers};
use dspex_model::{Command, NodeId, NodeInfo, Proposal};
use dspex_storage::DataDirectory;
use dspex_transport::{
    Channel, Health, Identity, Limits, PeerEvent, Security, StartError, Transport, TransportSettings,
};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tracing::{info, warn};

use crate::start_error::Failure;

/// Between attempts to say who this node is.
const ADMIT_PAUSE: Duration = Duration::from_secs(1);

/// What a node of a cluster is started with.
#[derive(Clone, Debug)]
pub(crate) struct PeerSetup {
    pub listen: SocketAddr,
    /// Where peers reach it: HOST:PORT.
    pub advertise: String,
    pub security: Security,
    pub formation: Formation,
}

impl PeerSetup {
    /// Takes the peer port. Peers that call before consensus has started are told so.
    pub(crate) async fn start(&self, data: &DataDirectory) -> Result<Peers, Failure> {
        let identity = data.identity();
        let service = PeerService::new();
        let settings = TransportSettings {
            identity: Identity { node: identity.node_id.0, cluster: identity.cluster_id },
            listen: Some(self.listen),
            security: self.security.clone(),
            limits: Limits::default(),
        };
        let transport = Transport::start(settings, service.clone()).await.map_err(not_started)?;
        tokio::spawn(tell(transport.events()));
        Ok(Peers { transport, service, address: self.advertise.clone(), formation: self.formation.clone() })
    }
}

/// A port that another process has is free again when that has ended; anything else is a setting.
fn not_started(error: StartError) -> Failure {
    match error {
        StartError::Listen { .. } => {
            Failure::other(format!("{error}; give the node a port that is free (peers.listen)"))
        }
        error => Failure::configuration(error),
    }
}

/// Says which peers come and go. One channel is enough: they are lost together. Each side dials, so there are two to a peer.
async fn tell(mut events: broadcast::Receiver<PeerEvent>) {
    loop {
        match events.recv().await {
            Ok(PeerEvent { node, channel: Channel::Consensus, health }) => match health {
                Health::Up => info!(peer = node, "a peer is heard"),
                Health::Suspect => warn!(peer = node, "a peer is silent"),
                Health::Down => warn!(peer = node, "lost the connection to a peer"),
            },
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// Until this node is a member and the cluster knows how people and clients reach it. Returns only when that is hopeless.
pub(crate) async fn take_part(consensus: Consensus, node: NodeId, info: NodeInfo) -> FormationError {
    let told = |waits: &str| info!(waits, "not a member of a cluster yet");
    if let Err(error) = consensus.become_member(told).await {
        return error;
    }
    info!(%node, "this node is a member of its cluster");
    let command = Command::AdmitNode { node, info: Box::new(info) };
    while let Err(error) = consensus.propose(Proposal::internal(command.clone())).await {
        warn!(%error, "the cluster does not know yet how this node is reached");
        tokio::time::sleep(ADMIT_PAUSE).await;
    }
    std::future::pending().await
}
