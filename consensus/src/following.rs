//! What a node that does not lead does: it asks the one who does.

use std::time::Duration;

use bytes::Bytes;
use dspex_model::NodeId;
use dspex_transport::{CallError, Channel};

use crate::codec::wire;
use crate::leading::Proposed;
use crate::membership::MemberChange;
use crate::network::{Network, method};
use crate::refusal::Refusal;

/// A leader, as reached from here.
#[derive(Debug, Clone)]
pub(crate) struct Leader {
    pub(crate) node: NodeId,
    pub(crate) address: String,
}

impl Network {
    /// Hands an encoded proposal to the leader.
    pub(crate) async fn propose(&self, leader: &Leader, proposal: Bytes, limit: Duration) -> Result<Proposed, Refusal> {
        let reply = self.ask(leader, method::PROPOSE, proposal, limit).await?;
        wire::decode_proposed(&reply).map_err(|error| unreadable(&error))?
    }

    /// Asks the leader how far a read must wait.
    pub(crate) async fn read_index(&self, leader: &Leader, method: u8, limit: Duration) -> Result<u64, Refusal> {
        // Whatever went wrong, a read has done nothing.
        let reply = self.ask(leader, method, Bytes::new(), limit).await.map_err(|refusal| match refusal {
            Refusal::Unknown(_) => Refusal::NoLeader,
            other => other,
        })?;
        wire::decode_read_index(&reply).map_err(|error| unreadable(&error))?
    }

    /// Asks the leader to change the members.
    pub(crate) async fn change_members(
        &self,
        leader: &Leader,
        change: &MemberChange,
        limit: Duration,
    ) -> Result<(), Refusal> {
        let reply = self.ask(leader, method::MEMBER, wire::encode_member_change(change), limit).await?;
        wire::decode_member_changed(&reply).map_err(|error| unreadable(&error))?
    }

    async fn ask(&self, leader: &Leader, method: u8, body: Bytes, limit: Duration) -> Result<Bytes, Refusal> {
        let link = self.link(leader.node.0, &leader.address, Channel::Consensus).ok_or(Refusal::NoLeader)?;
        link.call(method, body, limit).await.map_err(|error| match error {
            // Not sent, or not begun there.
            CallError::Unreachable(_) => Refusal::NoLeader,
            CallError::Full => Refusal::Busy,
            CallError::TooLong { .. } => Refusal::Refused(error.to_string()),
            CallError::Failed(_) | CallError::TimedOut | CallError::Lost(_) => Refusal::Unknown(error.to_string()),
        })
    }
}

fn unreadable(error: &std::io::Error) -> Refusal {
    Refusal::Unknown(error.to_string())
}
