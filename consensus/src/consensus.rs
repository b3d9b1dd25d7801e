//! The handle: propose, read, follow.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dspex_model::{NodeId, Outcome, Proposal, State};
use dspex_storage::DataDirectory;
use openraft::ReadPolicy;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, ForwardToLeader, LinearizableReadError, RaftError};
use tokio::sync::{Semaphore, SemaphorePermit, broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

use crate::compaction;
use crate::effects::Effects;
use crate::error::{ProposeError, ReadError, StartError};
use crate::machine::MachineView;
use crate::options::ConsensusOptions;
use crate::start;
use crate::status::Status;
use crate::types::{EncodedProposal, Raft, Types};

/// Right after an election a leader refuses writes until a quorum has answered once: a few milliseconds.
const FIRST_RETRY: Duration = Duration::from_millis(2);
const LONGEST_RETRY: Duration = Duration::from_millis(200);

/// How long [`Consensus::shutdown`] waits for tasks that still read the stores.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(10);

/// A handle to this node's part in consensus; clones share it.
#[derive(Debug, Clone)]
pub struct Consensus {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    raft: Raft,
    view: MachineView,
    permits: Semaphore,
    time_limit: Duration,
    compaction: Mutex<Option<JoinHandle<()>>>,
}

impl Consensus {
    /// Starts consensus on a directory. The first start of a directory forms a cluster of this node alone; such a node
    /// can write when this returns.
    ///
    /// # Errors
    /// When the stored log or state cannot be used.
    pub async fn start(data: &DataDirectory, options: ConsensusOptions) -> Result<Self, StartError> {
        let (raft, view) = start::start(data, &options).await?;
        let compaction =
            compaction::run(raft.clone(), data.log().clone(), view.progress.clone(), options.snapshot_log_bytes);
        Ok(Self {
            shared: Arc::new(Shared {
                raft,
                view,
                permits: Semaphore::new(options.in_flight),
                time_limit: options.time_limit,
                compaction: Mutex::new(Some(tokio::spawn(compaction))),
            }),
        })
    }

    /// Puts a command into the log and returns what applying it gave. When this returns `Ok`, the command is synced on
    /// a quorum and applied here. Dropping the future does not take the command back.
    ///
    /// # Errors
    /// [`ProposeError::outcome_unknown`] tells whether the command may have been executed all the same.
    pub async fn propose(&self, proposal: Proposal) -> Result<Outcome, ProposeError> {
        let bytes = proposal.encode()?;
        let mut attempts = Attempts::until(Instant::now() + self.shared.time_limit);
        let _permit = self.permit(attempts.deadline).await.ok_or(ProposeError::Busy)?;
        loop {
            let write = self.shared.raft.client_write(EncodedProposal(bytes.clone()));
            let Ok(result) = timeout_at(attempts.deadline, write).await else {
                let detail = format!("not within {:?}", self.shared.time_limit);
                return Err(ProposeError::Unknown { detail });
            };
            let forward = match result {
                Ok(response) => {
                    let missing = || ProposeError::Unknown { detail: "the entry had no outcome".to_owned() };
                    return response.data.0.ok_or_else(missing);
                }
                Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => forward,
                Err(RaftError::APIError(error)) => return Err(ProposeError::Unknown { detail: error.to_string() }),
                Err(RaftError::Fatal(error)) => return Err(ProposeError::Stopped { detail: error.to_string() }),
            };
            // Refused before it was appended, so sending it again cannot execute it twice.
            if let Some((leader, address)) = self.other_leader(forward) {
                return Err(ProposeError::NotLeader { leader, address });
            }
            if !attempts.pause().await {
                return Err(ProposeError::NoLeader);
            }
        }
    }

    /// Reads the state at a moment after this call: everything that was acknowledged before it is in it.
    ///
    /// The state is locked while `read` runs, so it should only copy out what it needs.
    ///
    /// # Errors
    /// When nobody confirms in time that this node leads.
    pub async fn read<R>(&self, read: impl FnOnce(&State) -> R) -> Result<R, ReadError> {
        let mut attempts = Attempts::until(Instant::now() + self.shared.time_limit);
        let _permit = self.permit(attempts.deadline).await.ok_or(ReadError::Busy)?;
        loop {
            let confirm = self.shared.raft.ensure_linearizable(ReadPolicy::ReadIndex);
            let Ok(result) = timeout_at(attempts.deadline, confirm).await else {
                return Err(ReadError::NoLeader);
            };
            match result {
                Ok(_) => return Ok(self.read_stale(read)),
                Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward))) => {
                    if let Some((leader, address)) = self.other_leader(forward) {
                        return Err(ReadError::NotLeader { leader, address });
                    }
                }
                Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => {}
                Err(RaftError::Fatal(error)) => return Err(ReadError::Stopped { detail: error.to_string() }),
            }
            if !attempts.pause().await {
                return Err(ReadError::NoLeader);
            }
        }
    }

    /// Reads the state as this node has it, which may be behind. Never blocks on the network.
    pub fn read_stale<R>(&self, read: impl FnOnce(&State) -> R) -> R {
        read(&self.shared.view.state.read().unwrap_or_else(PoisonError::into_inner))
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

    /// Where this node stands.
    pub fn status(&self) -> Status {
        Status::of(&self.shared.raft.metrics().borrow_watched())
    }

    /// Writes a snapshot now and waits for it; returns the index that it reaches.
    ///
    /// # Errors
    /// When the node has stopped or the time limit passes.
    pub async fn snapshot(&self) -> Result<u64, ReadError> {
        let raft = &self.shared.raft;
        let wanted = *self.shared.view.progress.borrow();
        raft.trigger().snapshot().await.map_err(|error| ReadError::Stopped { detail: error.to_string() })?;
        let reached = |metrics: &openraft::RaftMetrics<Types>| metrics.snapshot.is_some_and(|id| id.index >= wanted);
        let metrics = raft.wait(Some(self.shared.time_limit)).metrics(reached, "a snapshot").await;
        let metrics = metrics.map_err(|error| ReadError::Stopped { detail: error.to_string() })?;
        Ok(metrics.snapshot.map_or(wanted, |id| id.index))
    }

    /// Returns when consensus has stopped on this node, with the reason; a node that was shut down gives none.
    pub async fn stopped(&self) -> Option<String> {
        let mut progress = self.watch();
        while progress.changed().await.is_ok() {}
        // The reason is published by a task that ends beside the one that applies.
        let failed = |metrics: &openraft::RaftMetrics<Types>| metrics.running_state.is_err();
        let waited = self.shared.raft.wait(Some(Duration::from_secs(1))).metrics(failed, "the reason").await;
        let failure = waited.ok().and_then(|metrics| metrics.running_state.err());
        failure.filter(|error| *error != openraft::errors::Fatal::Stopped).map(|error| error.to_string())
    }

    /// Stops consensus and waits until nothing here uses the stores any more. Proposals under way fail as stopped.
    pub async fn shutdown(&self) {
        let compaction = self.shared.compaction.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(compaction) = compaction {
            compaction.abort();
            let _ = compaction.await;
        }
        if let Err(error) = self.shared.raft.shutdown().await {
            tracing::warn!(%error, "a task of consensus did not end well");
        }
        let mut progress = self.watch();
        let gone = async { while progress.changed().await.is_ok() {} };
        if tokio::time::timeout(SHUTDOWN_LIMIT, gone).await.is_err() {
            tracing::warn!("the state is still in use after the shutdown of consensus");
        }
    }

    async fn permit(&self, deadline: Instant) -> Option<SemaphorePermit<'_>> {
        timeout_at(deadline, self.shared.permits.acquire()).await.ok()?.ok()
    }

    /// The leader to go to, unless that is this node (it is about to be ready) or nobody (there will be one).
    fn other_leader(&self, forward: ForwardToLeader<Types>) -> Option<(NodeId, String)> {
        let leader = forward.leader_id.filter(|leader| leader != self.shared.raft.node_id())?;
        Some((NodeId(leader), forward.leader_node.map(|member| member.address).unwrap_or_default()))
    }
}

/// Pauses between attempts that double, up to a limit, until a deadline.
struct Attempts {
    deadline: Instant,
    pause: Duration,
}

impl Attempts {
    fn until(deadline: Instant) -> Self {
        Self { deadline, pause: FIRST_RETRY }
    }

    /// Waits; `false` when the deadline would pass.
    fn pause(&mut self) -> impl Future<Output = bool> + use<> {
        let (pause, in_time) = (self.pause, Instant::now() + self.pause < self.deadline);
        self.pause = (pause * 2).min(LONGEST_RETRY);
        async move {
            if in_time {
                sleep(pause).await;
            }
            in_time
        }
    }
}
