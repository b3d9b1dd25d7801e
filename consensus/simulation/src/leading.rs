//! What only the leader does. It does what `consensus/src/leading.rs` does, with clocks that the simulation sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use dspex_model::{Outcome, Proposal};
use openraft::ReadPolicy;
use openraft::errors::{ClientWriteError, LinearizableReadError, RaftError};
use tokio::time::timeout;

use crate::clock::LogClock;
use crate::membership::forwarded;
use crate::refusal::Refusal;
use crate::types::{EncodedProposal, Raft};
use crate::world::World;

/// What applying a proposal gave, and where it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proposed {
    pub(crate) index: u64,
    pub(crate) outcome: Outcome,
}

/// A node's wall clock: how far it is from the true time.
pub(crate) type WallClock = Arc<AtomicI64>;

/// This node as the leader, or as one who says who leads. Clones share it.
#[derive(Clone)]
pub(crate) struct Leading {
    raft: Raft,
    time_limit: Duration,
    clock: LogClock,
    wall: WallClock,
    world: Arc<World>,
}

impl Leading {
    pub(crate) fn new(raft: Raft, wall: WallClock, world: Arc<World>) -> Self {
        let clock = LogClock::new(wall_ms(&wall, &world), world.elapsed_ms());
        Self { raft, time_limit: world.settings.time_limit, clock, wall, world }
    }

    /// Takes a proposal that another node encoded.
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

    /// Puts a proposal into the log as it is encoded. It has no time limit of its own.
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
        self.clock.stamp(wall_ms(&self.wall, &self.world), self.world.elapsed_ms()).ms
    }
}

fn wall_ms(wall: &WallClock, world: &World) -> u64 {
    world.true_ms().saturating_add_signed(wall.load(Ordering::Relaxed))
}
