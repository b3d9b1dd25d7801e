//! How all members stand, as each says itself.

use std::time::Duration;

use dspex_model::NodeId;
use dspex_transport::Channel;
use futures::future::BoxFuture;
use futures::future::join_all;
use openraft::async_runtime::WatchReceiver;

use crate::codec::wire;
use crate::consensus::Consensus;
use crate::network::method;
use crate::status::Status;

/// A member, as this node knows it and as it says itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// The member.
    pub node: NodeId,
    /// Where its peers reach it; empty for an embedded node.
    pub address: String,
    /// Whether it votes.
    pub is_voter: bool,
    /// What it says; `None`: it gave no answer in time.
    pub status: Option<Status>,
}

impl Consensus {
    /// Asks every member, all at once, and waits for each no longer than `limit`.
    pub fn survey(&self, limit: Duration) -> BoxFuture<'_, Vec<MemberStatus>> {
        Box::pin(async move {
            if let Some(outpost) = self.outpost() {
                let voters = outpost.voters().addresses.into_iter();
                let asked = voters.map(|(node, address)| async move {
                    let status = self.ask(node.0, &address, limit).await;
                    MemberStatus { node, address, is_voter: true, status }
                });
                return join_all(asked).await;
            }
            let membership = self.raft().server_metrics().borrow_watched().membership_config.membership().clone();
            let voters: Vec<u64> = membership.voter_ids().collect();
            let own = *self.raft().node_id();
            let members = membership.nodes().map(|(&node, member)| {
                let (address, is_voter) = (member.address.clone(), voters.contains(&node));
                async move {
                    let status = if node == own { Some(self.status()) } else { self.ask(node, &address, limit).await };
                    MemberStatus { node: NodeId(node), address, is_voter, status }
                }
            });
            join_all(members).await
        })
    }

    async fn ask(&self, node: u64, address: &str, limit: Duration) -> Option<Status> {
        let link = self.network().link(node, address, Channel::Consensus)?;
        let reply = link.call(method::STATUS, bytes::Bytes::from_static(wire::WITH_REMARK), limit).await.ok()?;
        wire::decode_status(&reply).ok()
    }
}
