//! What this node does for its peers: the other end of [`crate::network`].

mod appends;
mod bulk;
mod requests;
mod snapshots;

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use dspex_model::NodeId;
use dspex_storage::{DataDirectory, IncomingSnapshot, Snapshots};
use dspex_transport::{Channel, Requests, Serve, Session};
use openraft::ReadPolicy;

use crate::blobs::Incoming;
use crate::contradiction::Contradictions;
use crate::leading::Leading;
use crate::membership::Copies;
use crate::peers::Own;
use crate::rounds::Rounds;
use crate::types::Raft;

/// Serves peers on the consensus and bulk channels. It is given to the transport before consensus starts; until then
/// peers are told so. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct PeerService {
    served: Arc<RwLock<Option<Arc<Served>>>>,
    inference: Arc<OnceLock<Others>>,
    coordination: Arc<OnceLock<Others>>,
    real_time: Arc<OnceLock<Others>>,
    telemetry: Arc<OnceLock<Others>>,
}

/// Who serves a channel on which nothing of consensus is said.
struct Others(Box<dyn Serve>);

impl std::fmt::Debug for Others {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Others")
    }
}

/// What peers are served with.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) raft: Raft,
    pub(crate) leading: Leading,
    pub(crate) rounds: Rounds,
    pub(crate) snapshots: Snapshots,
    pub(crate) own: Own,
    pub(crate) blobs: Incoming,
    pub(crate) copies: Copies,
    pub(crate) contradictions: Contradictions,
    /// What is shown beside this node's status.
    pub(crate) remark: String,
    /// The snapshot that is arriving.
    pub(crate) incoming: Arc<tokio::sync::Mutex<Option<IncomingSnapshot>>>,
}

impl Served {
    pub(crate) fn new(
        raft: Raft,
        leading: Leading,
        data: &DataDirectory,
        own: Own,
        copies: Copies,
        contradictions: Contradictions,
    ) -> Self {
        let answering = leading.clone();
        // A peer that is asked by mistake says who leads; it does not ask on.
        let rounds = Rounds::start(move || {
            let leading = answering.clone();
            async move { leading.read_index(ReadPolicy::ReadIndex).await }
        });
        let (snapshots, blobs) = (data.snapshots().clone(), Incoming::new(data.blobs().clone()));
        let (remark, incoming) = (String::new(), Arc::default());
        Self { raft, leading, rounds, snapshots, own, blobs, copies, contradictions, remark, incoming }
    }
}

/// A peer of the same cluster; `None`: one that belongs to none yet, or to which this node does not belong yet.
pub(crate) fn fellow(own: &Own, session: &Session) -> Option<NodeId> {
    let peer = session.peer();
    (peer.cluster.is_some() && peer.cluster == own.cluster()).then_some(NodeId(peer.node))
}

impl PeerService {
    /// For a transport that is to be started.
    pub fn new() -> Self {
        Self::default()
    }

    /// Who serves the inference channel, from the next connection on: what is asked there is nothing of consensus. The first one
    /// stays.
    pub fn serve_inference(&self, serve: impl Serve) {
        let _ = self.inference.set(Others(Box::new(serve)));
    }

    /// The same for the coordination channel.
    pub fn serve_coordination(&self, serve: impl Serve) {
        let _ = self.coordination.set(Others(Box::new(serve)));
    }

    /// The same for the real_time channel.
    pub fn serve_real_time(&self, serve: impl Serve) {
        let _ = self.real_time.set(Others(Box::new(serve)));
    }

    /// The same for the telemetry channel.
    pub fn serve_telemetry(&self, serve: impl Serve) {
        let _ = self.telemetry.set(Others(Box::new(serve)));
    }

    /// From here on peers are served, or, with `None`, not any more.
    pub(crate) fn set(&self, served: Option<Arc<Served>>) {
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = served;
    }

    fn get(&self) -> Option<Arc<Served>> {
        self.served.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Serve for PeerService {
    /// Channels that are not served here are closed for what the peer would ask.
    fn serve(&self, session: Session, requests: Requests) {
        let others = match session.channel() {
            Channel::Consensus => return drop(tokio::spawn(requests::serve(self.clone(), session, requests))),
            Channel::Bulk => return drop(tokio::spawn(bulk::serve(self.clone(), session, requests))),
            Channel::Inference => &self.inference,
            Channel::Coordination => &self.coordination,
            Channel::RealTime => &self.real_time,
            Channel::Telemetry => &self.telemetry,
        };
        if let Some(others) = others.get() {
            others.0.serve(session, requests);
        }
    }
}
