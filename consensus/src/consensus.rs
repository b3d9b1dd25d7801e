//! The handle: propose, read, follow.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dspex_model::{NodeId, Outcome, Proposal, State};
use dspex_storage::{BlobStore, DataDirectory, Snapshots, StateStore};
use dspex_transport::{Channel, Link, Session};
use futures::future::BoxFuture;
use openraft::ReadPolicy;
use openraft::async_runtime::WatchReceiver;
use tokio::sync::{Semaphore, SemaphorePermit, broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::addresses::Addresses;
use crate::attempts::{Attempts, leader_of};
use crate::blobs::KEEP;
use crate::blobs::keeper::{self, Lacking};
use crate::compaction;
use crate::contradiction::Contradictions;
use crate::effects::Effects;
use crate::error::{FormationError, MemberError, ProposeError, ReadError, StartError};
use crate::following::Leader;
use crate::leading::{Leading, Proposed};
use crate::machine::MachineView;
use crate::membership::{self, Copies, MemberChange};
use crate::network::{Network, method};
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

/// How long [`Consensus::shutdown`] waits for tasks that still read the stores.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(10);

/// For one question to a leader: the next one may lead already.
const ROUND_LIMIT: Duration = Duration::from_secs(2);

/// A handle to this node's part in consensus; clones share it.
///
/// Its futures are boxed: what they are made of, openraft's generic code among it, is then compiled in this room once, and not
/// again in each that awaits them.
#[derive(Debug, Clone)]
pub struct Consensus {
    shared: Arc<Shared>,
}

/// How fresh a read is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Freshness {
    /// A quorum confirms the leader after the read has begun: everything acknowledged before is seen.
    #[default]
    Linearizable,
    /// The leader answers while its lease lasts. As fresh, as long as no clock runs much faster than another.
    Lease,
    /// Whatever this node has.
    Stale,
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
            let compaction =
                compaction::run(raft.clone(), data.log().clone(), view.progress.clone(), options.snapshot_log_bytes);
            let ticks = ticks::run(raft.clone(), leading.clone(), Arc::clone(&view.state), view.progress.clone());
            let settling = settling::run(raft.clone(), view.progress.clone());
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
                    background: Mutex::new(vec![tokio::spawn(compaction), tokio::spawn(ticks), tokio::spawn(settling)]),
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

    /// Puts a command into the log, here or through the leader, and returns what applying it gave. When this returns
    /// `Ok`, the command is synced on a quorum, and applied on this node: a stale read here sees it. (A node that is so far
    /// behind that it has not applied it within the time limit says what the leader said.) Dropping the future does not take
    /// the command back.
    ///
    /// The stamp is the leader's: what the proposal carries is replaced.
    ///
    /// # Errors
    /// [`ProposeError::outcome_unknown`] tells whether the command may have been executed all the same.
    pub fn propose(&self, mut proposal: Proposal) -> BoxFuture<'_, Result<Outcome, ProposeError>> {
        Box::pin(async move {
            proposal.stamp_ms = self.now_ms();
            let bytes = bytes::Bytes::from(proposal.encode()?);
            let mut attempts = self.attempts();
            let _permit = self.permit(attempts.deadline).await.ok_or(ProposeError::Busy)?;
            let mut begun = None;
            loop {
                match self.attempt(&mut attempts, &bytes).await {
                    // A node without a vote applies nothing.
                    Ok(Proposed { outcome, .. }) if self.shared.outpost.is_some() => return Ok(outcome),
                    Ok(Proposed { index, outcome }) => {
                        let mut progress = self.watch();
                        let _ = timeout_at(attempts.deadline, progress.wait_for(|applied| *applied >= index)).await;
                        return Ok(outcome);
                    }
                    Err(Refusal::Stopped(detail)) => return Err(ProposeError::Stopped { detail }),
                    Err(Refusal::Refused(detail)) => return Err(ProposeError::Refused { detail }),
                    // Sent again under the same request id it is executed once.
                    Err(Refusal::Unknown(detail)) if proposal.request.is_some() => begun = Some(detail),
                    Err(Refusal::Unknown(detail)) => return Err(ProposeError::Unknown { detail }),
                    Err(Refusal::OtherLeader { node, address }) => attempts.hint = Some(Leader { node, address }),
                    // Refused before it was appended.
                    Err(Refusal::NoLeader | Refusal::Busy) => {}
                }
                if !attempts.pause(&self.shared.raft).await {
                    return Err(begun.map_or(ProposeError::NoLeader, |detail| ProposeError::Unknown { detail }));
                }
            }
        })
    }

    fn leader(&self, attempts: &mut Attempts) -> Option<Leader> {
        let Some(outpost) = &self.shared.outpost else { return attempts.leader(&self.shared.raft) };
        attempts.hint.take().filter(|hint| !hint.address.is_empty()).or_else(|| outpost.leader())
    }

    /// Asks whoever is taken for the leader, once.
    async fn attempt(&self, attempts: &mut Attempts, proposal: &bytes::Bytes) -> Result<Proposed, Refusal> {
        match self.leader(attempts) {
            None => Err(Refusal::NoLeader),
            Some(leader) if leader.node.0 == *self.shared.raft.node_id() => {
                let late = |_| Err(Refusal::Unknown("no answer within the time limit".to_owned()));
                let write = self.shared.leading.write(proposal.to_vec());
                timeout_at(attempts.deadline, write).await.unwrap_or_else(late)
            }
            Some(leader) => self.shared.network.propose(&leader, proposal.clone(), attempts.left()).await,
        }
    }

    /// Reads the state at a moment after this call: everything that was acknowledged before it is in it.
    ///
    /// The state is locked while `read` runs, so it should only copy out what it needs.
    ///
    /// # Errors
    /// When no leader confirms it in time.
    pub async fn read<R>(&self, read: impl FnOnce(&State) -> R) -> Result<R, ReadError> {
        self.read_at(Freshness::Linearizable, read).await
    }

    /// Reads the state as fresh as is asked for.
    ///
    /// # Errors
    /// When no leader confirms it in time; a stale read has none.
    pub async fn read_at<R>(&self, freshness: Freshness, read: impl FnOnce(&State) -> R) -> Result<R, ReadError> {
        if freshness != Freshness::Stale {
            self.catch_up(freshness).await?;
        }
        Ok(self.read_stale(read))
    }

    /// Waits until the state here has what it must for a read that begins now.
    fn catch_up(&self, freshness: Freshness) -> BoxFuture<'_, Result<(), ReadError>> {
        Box::pin(async move {
            let mut attempts = self.attempts();
            let _permit = self.permit(attempts.deadline).await.ok_or(ReadError::Busy)?;
            let index = loop {
                let asked = match freshness {
                    Freshness::Lease => self.lease_index(&mut attempts).await,
                    Freshness::Linearizable | Freshness::Stale => {
                        timeout_at(attempts.deadline, self.shared.rounds.join()).await.unwrap_or(Err(Refusal::NoLeader))
                    }
                };
                match asked {
                    Ok(index) => break index,
                    Err(Refusal::Stopped(detail)) => return Err(ReadError::Stopped { detail }),
                    Err(Refusal::Refused(detail)) => return Err(ReadError::Refused { detail }),
                    Err(Refusal::OtherLeader { node, address }) => attempts.hint = Some(Leader { node, address }),
                    Err(Refusal::NoLeader | Refusal::Busy | Refusal::Unknown(_)) => {}
                }
                if !attempts.pause(&self.shared.raft).await {
                    return Err(ReadError::NoLeader);
                }
            };
            let mut progress = self.watch();
            match timeout_at(attempts.deadline, progress.wait_for(|applied| *applied >= index)).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(_)) => Err(ReadError::Stopped { detail: "nothing is applied here any more".to_owned() }),
                Err(_) => Err(ReadError::Behind { index }),
            }
        })
    }

    async fn lease_index(&self, attempts: &mut Attempts) -> Result<u64, Refusal> {
        match attempts.leader(&self.shared.raft) {
            None => Err(Refusal::NoLeader),
            Some(leader) if leader.node.0 == *self.shared.raft.node_id() => {
                self.shared.leading.read_index(ReadPolicy::LeaseRead).await
            }
            Some(leader) => self.shared.network.read_index(&leader, method::LEASE_INDEX, attempts.left()).await,
        }
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

    /// Reads the state as this node has it, which may be behind. Never blocks on the network.
    pub fn read_stale<R>(&self, read: impl FnOnce(&State) -> R) -> R {
        self.read_applied(|_, state| read(state))
    }

    /// Reads the state as this node has it, with the index of the last entry in it.
    pub fn read_applied<R>(&self, read: impl FnOnce(u64, &State) -> R) -> R {
        let held = self.shared.view.state.read().unwrap_or_else(PoisonError::into_inner);
        read(held.applied, &held.state)
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

/// Asks this node's quorum while it leads, and the leader otherwise, once for all reads that wait.
fn rounds(raft: &Raft, leading: &Leading, network: &Network) -> Rounds {
    let (raft, leading, network) = (raft.clone(), leading.clone(), network.clone());
    Rounds::start(move || {
        let (leader, own) = (leader_of(&raft), *raft.node_id());
        let (leading, network) = (leading.clone(), network.clone());
        async move {
            match leader {
                None => Err(Refusal::NoLeader),
                Some(leader) if leader.node.0 == own => leading.read_index(ReadPolicy::ReadIndex).await,
                Some(leader) => network.read_index(&leader, method::READ_INDEX, ROUND_LIMIT).await,
            }
        }
    })
}
