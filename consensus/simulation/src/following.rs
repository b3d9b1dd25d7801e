//! What a node that does not lead does: it asks the one who does. As `consensus/src/following.rs`.

use std::time::Duration;

use dspex_model::NodeId;
use openraft::ReadPolicy;

use crate::leading::Proposed;
use crate::membership::MemberChange;
use crate::network::Network;
use crate::refusal::Refusal;
use crate::wires::CallError;

/// A leader, as reached from here.
#[derive(Debug, Clone)]
pub(crate) struct Leader {
    pub(crate) node: NodeId,
    pub(crate) address: String,
}

impl Network {
    pub(crate) async fn propose(
        &self,
        leader: &Leader,
        proposal: Vec<u8>,
        limit: Duration,
    ) -> Result<Proposed, Refusal> {
        let own = self.node;
        let asked = self.world.wires.call(own, leader.node.0, limit, move |served| served.propose(own, proposal));
        asked.await.map_err(|error| refused(&error))?
    }

    pub(crate) async fn read_index(
        &self,
        leader: &Leader,
        policy: ReadPolicy,
        limit: Duration,
    ) -> Result<u64, Refusal> {
        let own = self.node;
        let asked = self.world.wires.call(own, leader.node.0, limit, move |served| served.read_index(own, policy));
        // Whatever went wrong, a read has done nothing.
        asked.await.map_err(|_| Refusal::NoLeader)?
    }

    pub(crate) async fn change_members(
        &self,
        leader: &Leader,
        change: &MemberChange,
        limit: Duration,
    ) -> Result<(), Refusal> {
        let (own, change) = (self.node, change.clone());
        let asked = self.world.wires.call(own, leader.node.0, limit, move |served| served.change(own, change));
        asked.await.map_err(|error| refused(&error))?
    }
}

fn refused(error: &CallError) -> Refusal {
    match error {
        CallError::Unreachable => Refusal::NoLeader,
        CallError::Failed(_) | CallError::TimedOut | CallError::Lost => Refusal::Unknown(error.to_string()),
    }
}
