//! A proposal on its way to the leader, as often as it takes.

use dspex_model::{Outcome, Proposal};
use futures::future::BoxFuture;
use tokio::time::timeout_at;

use super::Consensus;
use crate::attempts::Attempts;
use crate::error::ProposeError;
use crate::following::Leader;
use crate::leading::Proposed;
use crate::refusal::Refusal;

impl Consensus {
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
}
