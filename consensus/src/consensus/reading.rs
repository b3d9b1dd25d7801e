//! Reads of the state, as fresh as is asked for.

use std::sync::PoisonError;
use std::time::Duration;

use dspex_model::State;
use futures::future::BoxFuture;
use openraft::ReadPolicy;
use tokio::time::timeout_at;

use super::Consensus;
use crate::attempts::{Attempts, leader_of};
use crate::error::ReadError;
use crate::following::Leader;
use crate::leading::Leading;
use crate::network::{Network, method};
use crate::refusal::Refusal;
use crate::rounds::Rounds;
use crate::types::Raft;

/// For one question to a leader: the next one may lead already.
const ROUND_LIMIT: Duration = Duration::from_secs(2);

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

impl Consensus {
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

    /// Reads the state as this node has it, which may be behind. Never blocks on the network.
    pub fn read_stale<R>(&self, read: impl FnOnce(&State) -> R) -> R {
        self.read_applied(|_, state| read(state))
    }

    /// Reads the state as this node has it, with the index of the last entry in it.
    pub fn read_applied<R>(&self, read: impl FnOnce(u64, &State) -> R) -> R {
        let held = self.shared.view.state.read().unwrap_or_else(PoisonError::into_inner);
        read(held.applied, &held.state)
    }
}

/// Asks this node's quorum while it leads, and the leader otherwise, once for all reads that wait.
pub(super) fn rounds(raft: &Raft, leading: &Leading, network: &Network) -> Rounds {
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
