//! The handle on a running node: propose, read, change the members. It does what `dspex_consensus::Consensus` does.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use dspex_model::{Outcome, Proposal, State};
use openraft::ReadPolicy;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::attempts::{Attempts, leader_of};
use crate::blobs::keeper::Lacking;
use crate::blobs::{BlobStore, Freeing};
use crate::following::Leader;
use crate::leading::{Leading, Proposed};
use crate::machine::MachineView;
use crate::membership::{self, Copies, MemberChange};
use crate::mutant::Mutant;
use crate::network::Network;
use crate::refusal::Refusal;
use crate::rounds::Rounds;
use crate::traps::Moment;
use crate::types::Raft;

/// For one question to a leader: the next one may lead already.
const ROUND_LIMIT: Duration = Duration::from_secs(2);

/// How fresh a read is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    Linearizable,
    Lease,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing was done, and nothing will be.
    NotDone,
    /// It may have been done, or may be yet.
    Unknown,
}

/// A running node; clones share it.
#[derive(Clone)]
pub(crate) struct Handle {
    pub(crate) raft: Raft,
    pub(crate) view: MachineView,
    pub(crate) leading: Leading,
    pub(crate) network: Network,
    pub(crate) blobs: BlobStore,
    pub(crate) copies: Copies,
    pub(crate) freeing: Freeing,
    rounds: Rounds,
}

impl Handle {
    pub(crate) fn new(
        raft: Raft,
        view: MachineView,
        leading: Leading,
        network: Network,
        lacking: watch::Receiver<Lacking>,
    ) -> Self {
        let rounds = rounds(&raft, &leading, &network);
        let blobs = BlobStore::new(network.node, network.disk.clone(), Arc::clone(&network.world));
        let copies = Copies { network: network.clone(), own: lacking };
        Self { raft, view, leading, network, blobs, copies, freeing: Freeing::default(), rounds }
    }

    /// Follows the index of the last applied entry.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.view.progress.clone()
    }

    /// Reads the state as this node has it, with the index of the last entry in it.
    pub(crate) fn read_applied<R>(&self, read: impl FnOnce(u64, &State) -> R) -> R {
        look(self, read)
    }

    /// Puts a command into the log, here or through the leader, and returns what applying it gave, there and here.
    pub(crate) async fn propose(&self, mut proposal: Proposal) -> Result<Outcome, Failure> {
        proposal.stamp_ms = self.leading.stamp_ms();
        let repeats = proposal.request.is_some();
        if self.network.world.mutant == Some(Mutant::ForgetsRequests) {
            proposal.request = None;
        }
        let bytes = proposal.encode().map_err(|_| Failure::NotDone)?;
        let mut attempts = self.attempts();
        let mut begun = false;
        loop {
            match self.attempt(&mut attempts, &bytes).await {
                Ok(Proposed { index, outcome }) => {
                    let mut progress = self.watch();
                    let _ = timeout_at(attempts.deadline, progress.wait_for(|applied| *applied >= index)).await;
                    return Ok(outcome);
                }
                Err(Refusal::Stopped(_)) => return Err(Failure::Unknown),
                Err(Refusal::Refused(_)) => return Err(Failure::NotDone),
                // Sent again under the same request id it is executed once.
                Err(Refusal::Unknown(_)) if repeats => begun = true,
                Err(Refusal::Unknown(_)) => return Err(Failure::Unknown),
                Err(Refusal::OtherLeader { node, address }) => attempts.hint = Some(Leader { node, address }),
                // Refused before it was appended.
                Err(Refusal::NoLeader | Refusal::Busy) => {}
            }
            if !attempts.pause(&self.raft).await {
                return Err(if begun { Failure::Unknown } else { Failure::NotDone });
            }
        }
    }

    /// Asks whoever is taken for the leader, once.
    async fn attempt(&self, attempts: &mut Attempts, proposal: &[u8]) -> Result<Proposed, Refusal> {
        match attempts.leader(&self.raft) {
            None => Err(Refusal::NoLeader),
            Some(leader) if leader.node.0 == *self.raft.node_id() => {
                let late = |_| Err(Refusal::Unknown("no answer within the time limit".to_owned()));
                let write = self.leading.write(proposal.to_vec());
                timeout_at(attempts.deadline, write).await.unwrap_or_else(late)
            }
            Some(leader) => self.network.propose(&leader, proposal.to_vec(), attempts.left()).await,
        }
    }

    /// Stores what a proposal names here and on a majority, then proposes it: what the actors do.
    pub(crate) async fn promise(&self, blobs: Vec<Arc<[u8]>>, proposal: Proposal) -> Result<Outcome, Failure> {
        let _held = self.freeing.hold().await;
        let mut digests = Vec::new();
        for bytes in blobs {
            digests.push(self.blobs.put(bytes).await);
        }
        self.spread(&digests).await.map_err(|_| Failure::NotDone)?;
        if !digests.is_empty() {
            self.network.world.reached(*self.raft.node_id(), Moment::BlobsSpread).await;
        }
        self.propose(proposal).await
    }

    /// Reads the state at a moment after this call, with the index of the last entry in it.
    pub(crate) async fn read<R>(
        &self,
        freshness: Freshness,
        read: impl FnOnce(u64, &State) -> R,
    ) -> Result<R, Failure> {
        if self.network.world.mutant != Some(Mutant::ReadsWithoutIndex) {
            self.catch_up(freshness).await?;
        }
        let held = self.view.state.read().unwrap_or_else(PoisonError::into_inner);
        Ok(read(held.applied, &held.state))
    }

    async fn catch_up(&self, freshness: Freshness) -> Result<(), Failure> {
        let mut attempts = self.attempts();
        let index = loop {
            let asked = match freshness {
                Freshness::Lease => self.lease_index(&mut attempts).await,
                Freshness::Linearizable => {
                    timeout_at(attempts.deadline, self.rounds.join()).await.unwrap_or(Err(Refusal::NoLeader))
                }
            };
            match asked {
                Ok(index) => break index,
                Err(Refusal::Stopped(_) | Refusal::Refused(_)) => return Err(Failure::NotDone),
                Err(Refusal::OtherLeader { node, address }) => attempts.hint = Some(Leader { node, address }),
                Err(Refusal::NoLeader | Refusal::Busy | Refusal::Unknown(_)) => {}
            }
            if !attempts.pause(&self.raft).await {
                return Err(Failure::NotDone);
            }
        };
        let mut progress = self.view.progress.clone();
        match timeout_at(attempts.deadline, progress.wait_for(|applied| *applied >= index)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Failure::NotDone),
        }
    }

    async fn lease_index(&self, attempts: &mut Attempts) -> Result<u64, Refusal> {
        match attempts.leader(&self.raft) {
            None => Err(Refusal::NoLeader),
            Some(leader) if leader.node.0 == *self.raft.node_id() => {
                self.leading.read_index(ReadPolicy::LeaseRead).await
            }
            Some(leader) => self.network.read_index(&leader, ReadPolicy::LeaseRead, attempts.left()).await,
        }
    }

    /// Changes who belongs to the cluster, or who leads it, through the leader. What was refused for good is not repeated.
    pub(crate) async fn change_members(&self, change: &MemberChange, limit: Duration) -> Result<(), Refusal> {
        let mut attempts = Attempts::until(Instant::now() + limit);
        loop {
            let attempt = match attempts.leader(&self.raft) {
                None => Err(Refusal::NoLeader),
                Some(leader) if leader.node.0 == *self.raft.node_id() => {
                    membership::begin(&self.raft, &self.copies, change, attempts.left()).await
                }
                Some(leader) => self.network.change_members(&leader, change, attempts.left()).await,
            };
            match attempt {
                Err(Refusal::OtherLeader { node, address }) => attempts.hint = Some(Leader { node, address }),
                Err(Refusal::NoLeader | Refusal::Busy) => {}
                ended => return ended,
            }
            if !attempts.pause(&self.raft).await {
                return Err(Refusal::NoLeader);
            }
        }
    }

    fn attempts(&self) -> Attempts {
        Attempts::until(Instant::now() + self.network.world.settings.time_limit)
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
                Some(leader) => network.read_index(&leader, ReadPolicy::ReadIndex, ROUND_LIMIT).await,
            }
        }
    })
}

/// The state shared with readers, for those who only look.
pub(crate) fn look<R>(handle: &Handle, read: impl FnOnce(u64, &State) -> R) -> R {
    let held = handle.view.state.read().unwrap_or_else(PoisonError::into_inner);
    read(held.applied, &held.state)
}
