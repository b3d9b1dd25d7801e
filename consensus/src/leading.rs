//! What only the leader does: take proposals into the log, and say how far a read must wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dspex_model::{Outcome, Proposal};
use openraft::ReadPolicy;
use openraft::errors::{ClientWriteError, LinearizableReadError, RaftError};
use tokio::time::timeout;

use crate::clock::LogClock;
use crate::membership::forwarded;
use crate::refusal::Refusal;
use crate::types::{EncodedProposal, Raft};

/// What applying a proposal gave, and where it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proposed {
    pub(crate) index: u64,
    pub(crate) outcome: Outcome,
}

/// This node as the leader, or as one who says who leads. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Leading {
    raft: Raft,
    time_limit: Duration,
    clock: LogClock,
    /// Whether the clock's leap has been reported.
    leapt: Arc<AtomicBool>,
}

impl Leading {
    pub(crate) fn new(raft: Raft, time_limit: Duration) -> Self {
        Self { raft, time_limit, clock: LogClock::new(wall_ms(), since_boot_ms()), leapt: Arc::default() }
    }

    /// Takes a proposal that another node encoded. What cannot be decoded must not enter the log: no node could apply it.
    pub(crate) async fn propose_encoded(&self, bytes: &[u8]) -> Result<Proposed, Refusal> {
        let proposal = Proposal::decode(bytes).map_err(|error| Refusal::Refused(error.to_string()))?;
        self.propose(proposal).await
    }

    /// Puts a proposal into the log under this node's stamp, and returns what applying it gave.
    pub(crate) async fn propose(&self, mut proposal: Proposal) -> Result<Proposed, Refusal> {
        proposal.stamp_ms = self.stamp_ms();
        let bytes = proposal.encode().map_err(|error| Refusal::Refused(error.to_string()))?;
        let late = |_| Err(Refusal::Unknown(format!("not committed within {:?}", self.time_limit)));
        timeout(self.time_limit, self.write(bytes)).await.unwrap_or_else(late)
    }

    /// Puts a proposal into the log as it is encoded: stamped by this node, and by now. It has no time limit of its own.
    pub(crate) async fn write(&self, bytes: Vec<u8>) -> Result<Proposed, Refusal> {
        match self.raft.client_write(EncodedProposal(bytes)).await {
            Ok(response) => {
                let index = response.log_id.index();
                let outcome = response.data.0.ok_or_else(|| Refusal::Unknown("the entry had no outcome".to_owned()))?;
                Ok(Proposed { index, outcome })
            }
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => Err(forwarded(forward)),
            Err(RaftError::APIError(error)) => Err(Refusal::Unknown(error.to_string())),
            Err(RaftError::Fatal(error)) => Err(Refusal::Stopped(error.to_string())),
        }
    }

    /// The index that the state must have reached so that a read sees everything acknowledged before this call.
    pub(crate) async fn read_index(&self, policy: ReadPolicy) -> Result<u64, Refusal> {
        match timeout(self.time_limit, self.raft.get_read_log_id(policy)).await {
            Ok(Ok((log_id, _))) => Ok(log_id.index()),
            Ok(Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)))) => Err(forwarded(forward)),
            Ok(Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)))) | Err(_) => Err(Refusal::NoLeader),
            Ok(Err(RaftError::Fatal(error))) => Err(Refusal::Stopped(error.to_string())),
        }
    }

    /// The time that an entry proposed now carries.
    pub(crate) fn stamp_ms(&self) -> u64 {
        let stamp = self.clock.stamp(wall_ms(), since_boot_ms());
        if let Some(ahead_ms) = stamp.leapt_ms
            && !self.leapt.swap(true, Ordering::Relaxed)
        {
            tracing::error!(
                ahead_ms,
                "this machine's clock has leapt ahead; log time is held back: set the clock right, then restart the node"
            );
        }
        stamp.ms
    }
}

/// Unix milliseconds.
fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds that have passed on this machine, those that it slept included.
fn since_boot_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let (seconds, nanoseconds) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
    seconds.unwrap_or(0) * 1000 + nanoseconds.unwrap_or(0) / 1_000_000
}
