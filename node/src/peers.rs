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
            // A node without a vote dials, and nobody dials it.
            listen: (!self.formation.is_worker).then_some(self.listen),
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

/// For the last word of a node that leaves.
const LEAVE_LIMIT: Duration = Duration::from_secs(3);
/// A lease is renewed so often; it outlives two words that were lost.
const LEASE_EVERY: Duration = Duration::from_secs(20);
const LEASE: Duration = Duration::from_secs(60);

/// Until this node is a member and the cluster knows how people and clients reach it. Returns only when that is hopeless.
pub(crate) async fn take_part(consensus: Consensus, node: NodeId, info: NodeInfo) -> FormationError {
    let told = |waits: &str| info!(waits, "not a member of a cluster yet");
    if let Err(error) = consensus.become_member(Box::new(told)).await {
        return error;
    }
    if consensus.is_worker() {
        info!(%node, "this node works for its cluster");
        return renew_lease(consensus, node, info).await;
    }
    info!(%node, "this node is a member of its cluster");
    let command = Command::AdmitNode { node, info: Box::new(info) };
    while let Err(error) = consensus.propose(Proposal::internal(command.clone())).await {
        warn!(%error, "the cluster does not know yet how this node is reached");
        tokio::time::sleep(ADMIT_PAUSE).await;
    }
    std::future::pending().await
}

/// The cluster sees that the node is there for as long as this goes on, and a while longer.
async fn renew_lease(consensus: Consensus, node: NodeId, info: NodeInfo) -> FormationError {
    let ttl_ms = u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX);
    let command = Command::LeaseNode { node, info: Box::new(info), ttl_ms };
    loop {
        let pause = match consensus.propose(Proposal::internal(command.clone())).await {
            Ok(_) => LEASE_EVERY,
            Err(error) => {
                warn!(%error, "the cluster does not hear that this node is there");
                ADMIT_PAUSE
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// The node leaves: nobody has to wait for the end of its lease.
pub(crate) async fn end_lease(consensus: &Consensus, node: NodeId) {
    if !consensus.is_worker() {
        return;
    }
    let command = Command::LeaseNode { node, info: Box::default(), ttl_ms: 0 };
    match tokio::time::timeout(LEAVE_LIMIT, consensus.propose(Proposal::internal(command))).await {
        Ok(Ok(_)) => info!(%node, "this node has left its cluster"),
        Ok(Err(error)) => warn!(%error, "the cluster did not hear that this node leaves"),
        Err(_) => warn!("the cluster did not hear in time that this node leaves"),
    }
}
