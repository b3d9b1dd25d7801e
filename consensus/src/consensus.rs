//! The handle: propose, read, follow.

mod proposing;
mod reading;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dspex_model::NodeId;
use dspex_storage::{BlobStore, DataDirectory, Snapshots, StateStore};
use dspex_transport::{Channel, Link, Session};
use futures::future::BoxFuture;
use openraft::async_runtime::WatchReceiver;
use tokio::sync::{Semaphore, SemaphorePermit, broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::addresses::Addresses;
use crate::attempts::Attempts;
use crate::blobs::KEEP;
use crate::blobs::keeper::{self, Lacking};
use crate::compaction;
use crate::contradiction::Contradictions;
use crate::effects::Effects;
use crate::error::{FormationError, MemberError, ReadError, StartError};
use crate::following::Leader;
use crate::leading::Leading;
use crate::machine::MachineView;
use crate::membership::{self, Copies, MemberChange};
use crate::network::Network;
use crate::options::ConsensusOptions;
use crate::outpost::Outpost;
use crate::peers::{Own, Peers};
use crate::refusal::Refusal;
use crate::rounds::Rounds;
use crate::service::{self, PeerService, Served};
use crate::settling;
use crate::start;
use crate::status::Status;
use crate::ticks;
use crate::types::{Member, Raft, Types};
pub use reading::Freshness;
use reading::rounds;

/// How long [`Consensus::shutdown`] waits for tasks that still read the stores.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(10);

/// A handle to this node's part in consensus; clones share it.
///
/// Its futures are boxed: what they are made of, openraft's generic code among it, is then compiled in this room once, and not
/// again in each that awaits them.
#[derive(Debug, Clone)]
pub struct Consensus {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    raft: Raft,
    view: MachineView,
    network: Network,
    state: StateStore,
    snapshots: Snapshots,
    blobs: BlobStore,
    copies: Copies,
    leading: Leading,
    contradictions: Contradictions,
    /// Reads that wait for this node's word as the leader, or for the leader's.
    rounds: Rounds,
    /// `None`: an embedded node.
    peers: Option<(Own, PeerService)>,
    /// Of a node without a vote.
    outpost: Option<Outpost>,
    remark: String,
    permits: Semaphore,
    time_limit: Duration,
    background: Mutex<Vec<JoinHandle<()>>>,
}

impl Consensus {
    /// Starts consensus on a directory. Without peers, the first start of a directory forms a cluster of this node
    /// alone, and such a node can write when this returns. With peers, a node that belongs to no cluster yet waits:
    /// see [`Consensus::form`].
    ///
    /// # Errors
    /// When the stored log or state cannot be used.
    pub fn start<'a>(
        data: &'a DataDirectory,
        options: ConsensusOptions,
        peers: Option<Peers>,
    ) -> BoxFuture<'a, Result<Self, StartError>> {
        Box::pin(async move {
            let transport = peers.as_ref().map(|peers| peers.transport.clone());
            let network = Network { transport, addresses: Addresses::default() };
            let (raft, view) = start::start(data, &options, network.clone()).await?;
            // It ends with openraft.
            tokio::spawn(network.addresses.clone().follow(raft.clone()));
            let leading = Leading::new(raft.clone(), options.time_limit);
            let rounds = rounds(&raft, &leading, &network);
            if peers.is_some() {
                // Peers may be about to name what they have stored here before this start.
                data.blobs().pin_all(KEEP);
            }
            let (lacking, own_lacking) = watch::channel(Lacking::UNKNOWN);
            let copies = Copies { network: network.clone(), own: own_lacking };
            let contradictions = Contradictions::new(data.log().clone());
            let peers = peers.map(|peers| {
                let own = Own::new(&peers, data.identity_file().clone(), raft.clone());
                let (copies, contradictions) = (copies.clone(), contradictions.clone());
                let mut served = Served::new(raft.clone(), leading.clone(), data, own.clone(), copies, contradictions);
                served.remark.clone_from(&options.remark);
                peers.service.set(Some(Arc::new(served)));
                (own, peers.service)
            });
            let works = peers.as_ref().map(|(own, _)| own).filter(|own| own.formation.is_worker);
            let outpost = works.map(|own| Outpost::start(own.clone()));
            let background = background(data, &options, &raft, &view, &leading);
            let consensus = Self {
                shared: Arc::new(Shared {
                    raft,
                    view,
                    network,
                    state: data.state().clone(),
                    snapshots: data.snapshots().clone(),
                    blobs: data.blobs().clone(),
                    copies,
                    leading,
                    contradictions,
                    rounds,
                    peers,
                    outpost,
                    remark: options.remark,
                    permits: Semaphore::new(options.in_flight),
                    time_limit: options.time_limit,
                    background: Mutex::new(background),
                }),
            };
            if consensus.shared.peers.is_some() {
                let keeper = tokio::spawn(keeper::run(consensus.clone(), lacking));
                consensus.shared.background.lock().unwrap_or_else(PoisonError::into_inner).push(keeper);
            }
            Ok(consensus)
        })
    }

    /// Makes a cluster of these members, of which this node is one. Exactly one node may do it, once.
    ///
    /// # Errors
    /// When this node belongs to a cluster already.
    pub fn form<'a>(&'a self, members: &'a BTreeMap<NodeId, String>) -> BoxFuture<'a, Result<(), StartError>> {
        Box::pin(async move {
            let members: BTreeMap<u64, Member> =
                members.iter().map(|(node, address)| (node.0, Member { address: address.clone() })).collect();
            self.shared.raft.initialize(members).await.map_err(StartError::storage)
        })
    }

    /// Changes who belongs to the cluster, or who leads it, through the leader. Dropping the future does not stop a change
    /// that was begun: one that ends in the middle needs two majorities for everything.
    ///
    /// # Errors
    /// See [`MemberError`].
    pub fn change_members<'a>(
        &'a self,
        change: &'a MemberChange,
        limit: Duration,
    ) -> BoxFuture<'a, Result<(), MemberError>> {
        Box::pin(async move {
            let mut attempts = Attempts::until(Instant::now() + limit);
            loop {
                let attempt = match attempts.leader(&self.shared.raft) {
                    None => Err(Refusal::NoLeader),
                    Some(leader) if leader.node.0 == *self.shared.raft.node_id() => {
                        membership::begin(&self.shared.raft, &self.shared.copies, change, attempts.left()).await
                    }
                    Some(leader) => self.shared.network.change_members(&leader, change, attempts.left()).await,
                };
                match attempt {
                    Ok(()) => return Ok(()),
                    Err(Refusal::Refused(detail)) => return Err(MemberError::Refused { detail }),
                    Err(Refusal::Unknown(detail) | Refusal::Stopped(detail)) => {
                        return Err(MemberError::Unknown { detail });
                    }
                    Err(Refusal::OtherLeader { node, address }) => attempts.hint = Some(Leader { node, address }),
                    Err(Refusal::NoLeader | Refusal::Busy) => {}
                }
                if !attempts.pause(&self.shared.raft).await {
                    return Err(MemberError::NoLeader);
                }
            }
        })
    }

    /// Follows the index of the last applied entry. It ends when the node stops.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.shared.view.progress.clone()
    }

    /// Follows effects from now on. What is pending already is in `State::pending`: subscribe first, then derive.
    pub fn effects(&self) -> Effects {
        Effects::new(match self.shared.view.effects.upgrade() {
            Some(sender) => sender.subscribe(),
            // The node has stopped: a receiver whose sender is gone.
            None => broadcast::channel(1).1,
        })
    }

    /// Now, as this node would stamp an entry: log time follows it while this node leads.
    pub fn now_ms(&self) -> u64 {
        self.shared.leading.stamp_ms()
    }

    /// Where this node stands.
    pub fn status(&self) -> Status {
        let mut status = Status::of(&self.shared.raft.metrics().borrow_watched());
        if let Some(told) = self.shared.outpost.as_ref().map(Outpost::voters) {
            status.leader = told.leader;
            status.voters = told.addresses.into_keys().collect();
        }
        let failure = self.shared.contradictions.found().or(status.failure.take());
        Status { failure, remark: self.shared.remark.clone(), ..status }
    }

    /// Writes a snapshot now and waits for it; returns the index that it reaches.
    ///
    /// # Errors
    /// When the node has stopped or the time limit passes.
    pub fn snapshot(&self) -> BoxFuture<'_, Result<u64, ReadError>> {
        Box::pin(async move {
            let raft = &self.shared.raft;
            let wanted = *self.shared.view.progress.borrow();
            raft.trigger().snapshot().await.map_err(|error| ReadError::Stopped { detail: error.to_string() })?;
            let reached =
                |metrics: &openraft::RaftMetrics<Types>| metrics.snapshot.is_some_and(|id| id.index >= wanted);
            let metrics = raft.wait(Some(self.shared.time_limit)).metrics(reached, "a snapshot").await;
            let metrics = metrics.map_err(|error| ReadError::Stopped { detail: error.to_string() })?;
            Ok(metrics.snapshot.map_or(wanted, |id| id.index))
        })
    }

    /// Returns when consensus has stopped on this node, with the reason; a node that was shut down gives none.
    pub fn stopped(&self) -> BoxFuture<'_, Option<String>> {
        Box::pin(async move {
            let mut progress = self.watch();
            while progress.changed().await.is_ok() {}
            if let Some(reason) = self.shared.contradictions.found() {
                return Some(reason);
            }
            // The reason is published by a task that ends beside the one that applies.
            let failed = |metrics: &openraft::RaftMetrics<Types>| metrics.running_state.is_err();
            let waited = self.shared.raft.wait(Some(Duration::from_secs(1))).metrics(failed, "the reason").await;
            let failure = waited.ok().and_then(|metrics| metrics.running_state.err());
            failure.filter(|error| *error != openraft::errors::Fatal::Stopped).map(|error| error.to_string())
        })
    }

    /// Stops consensus and waits until nothing here uses the stores any more. Proposals under way fail as stopped.
    pub fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let background =
                std::mem::take(&mut *self.shared.background.lock().unwrap_or_else(PoisonError::into_inner));
            for task in background {
                task.abort();
                let _ = task.await;
            }
            if let Some((_, service)) = &self.shared.peers {
                service.set(None);
            }
            if let Err(error) = self.shared.raft.shutdown().await {
                tracing::warn!(%error, "a task of consensus did not end well");
            }
            let mut progress = self.watch();
            let gone = async { while progress.changed().await.is_ok() {} };
            if tokio::time::timeout(SHUTDOWN_LIMIT, gone).await.is_err() {
                tracing::warn!("the state is still in use after the shutdown of consensus");
            }
        })
    }

    /// The way to a member; `None`: it is none, or an embedded node, which has no peers.
    pub fn link(&self, node: NodeId, channel: Channel) -> Option<Link> {
        let address = match &self.shared.outpost {
            Some(outpost) => outpost.voters().addresses.remove(&node)?,
            None => membership::known_at(&self.shared.raft, node)?,
        };
        self.shared.network.link(node.0, &address, channel)
    }

    /// Whether this node works for a cluster and has no part of the log.
    pub fn is_worker(&self) -> bool {
        self.shared.outpost.is_some()
    }

    pub(crate) fn outpost(&self) -> Option<&Outpost> {
        self.shared.outpost.as_ref()
    }

    /// Whether it is a node of a cluster; an embedded one has no peers.
    pub fn has_peers(&self) -> bool {
        self.shared.peers.is_some()
    }

    /// Whether a connection is of a node of the same cluster.
    pub fn is_fellow(&self, session: &Session) -> bool {
        self.shared.peers.as_ref().is_some_and(|(own, _)| service::fellow(own, session).is_some())
    }

    /// Who should lead in place of this leader: of those that may, the voter that has most of the log among those that answer.
    /// `None`: this node does not lead, or no such voter answers.
    pub fn successor(&self, may_lead: impl Fn(NodeId) -> bool) -> Option<NodeId> {
        let metrics = self.shared.raft.metrics();
        membership::successor(&metrics.borrow_watched(), |node| may_lead(NodeId(node))).map(NodeId)
    }

    pub(crate) fn state_store(&self) -> &StateStore {
        &self.shared.state
    }

    pub(crate) fn snapshots(&self) -> &Snapshots {
        &self.shared.snapshots
    }

    pub(crate) fn blobs(&self) -> &BlobStore {
        &self.shared.blobs
    }

    pub(crate) fn network(&self) -> &Network {
        &self.shared.network
    }

    pub(crate) fn raft(&self) -> &Raft {
        &self.shared.raft
    }

    /// This node among its peers.
    pub(crate) fn own(&self) -> Result<&Own, FormationError> {
        let alone = || FormationError::Never { detail: "an embedded node has no peers".to_owned() };
        self.shared.peers.as_ref().map(|(own, _)| own).ok_or_else(alone)
    }

    async fn permit(&self, deadline: Instant) -> Option<SemaphorePermit<'_>> {
        timeout_at(deadline, self.shared.permits.acquire()).await.ok()?.ok()
    }

    fn attempts(&self) -> Attempts {
        Attempts::until(Instant::now() + self.shared.time_limit)
    }
}

/// What a node sees to by itself.
fn background(
    data: &DataDirectory,
    options: &ConsensusOptions,
    raft: &Raft,
    view: &MachineView,
    leading: &Leading,
) -> Vec<JoinHandle<()>> {
    let compaction =
        compaction::run(raft.clone(), data.log().clone(), view.progress.clone(), options.snapshot_log_bytes);
    let ticks = ticks::run(raft.clone(), leading.clone(), Arc::clone(&view.state), view.progress.clone());
    let settling = settling::run(raft.clone(), view.progress.clone());
    vec![tokio::spawn(compaction), tokio::spawn(ticks), tokio::spawn(settling)]
}
