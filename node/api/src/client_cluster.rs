//! The calls of the service Cluster.

use futures::future::BoxFuture;
use std::time::Duration;

use crate::ApiError;
use crate::client::{Client, Transport};
use crate::v1::cluster_client::ClusterClient;
use crate::v1::{
    AddMemberRequest, ChangeMemberRequest, ClusterStatusRequest, ClusterStatusResponse, DrainMemberRequest, Member,
    StateHashRequest, StateHashResponse,
};

/// A change of the members waits until a learner has caught up, or another leader is elected.
const CHANGE_LIMIT: Duration = Duration::from_secs(75);

impl Client {
    fn cluster(&self) -> ClusterClient<Transport> {
        ClusterClient::with_interceptor(self.channel.clone(), self.token.clone())
    }

    /// The cluster as the node sees it.
    pub fn cluster_status(&self) -> BoxFuture<'_, Result<ClusterStatusResponse, ApiError>> {
        Box::pin(async move {
            self.bounded("cluster status", self.limits.call, self.cluster().status(ClusterStatusRequest {})).await
        })
    }

    /// A digest of the node's state.
    pub fn state_hash(&self) -> BoxFuture<'_, Result<StateHashResponse, ApiError>> {
        Box::pin(async move {
            self.bounded("cluster hash", self.limits.call, self.cluster().hash(StateHashRequest {})).await
        })
    }

    /// A node follows the log from here on.
    pub fn add_member(&self, request: AddMemberRequest) -> BoxFuture<'_, Result<Member, ApiError>> {
        Box::pin(async move { self.bounded("add member", CHANGE_LIMIT, self.cluster().add_member(request)).await })
    }

    /// A learner votes from here on.
    pub fn promote_member(&self, request: ChangeMemberRequest) -> BoxFuture<'_, Result<Member, ApiError>> {
        Box::pin(
            async move { self.bounded("promote member", CHANGE_LIMIT, self.cluster().promote_member(request)).await },
        )
    }

    /// A voter only follows from here on.
    pub fn demote_member(&self, request: ChangeMemberRequest) -> BoxFuture<'_, Result<Member, ApiError>> {
        Box::pin(
            async move { self.bounded("demote member", CHANGE_LIMIT, self.cluster().demote_member(request)).await },
        )
    }

    /// A node is no member any more.
    pub fn remove_member(&self, request: ChangeMemberRequest) -> BoxFuture<'_, Result<Member, ApiError>> {
        Box::pin(
            async move { self.bounded("remove member", CHANGE_LIMIT, self.cluster().remove_member(request)).await },
        )
    }

    /// Another voter leads from here on.
    pub fn transfer_leader(&self, request: ChangeMemberRequest) -> BoxFuture<'_, Result<Member, ApiError>> {
        Box::pin(
            async move { self.bounded("transfer leader", CHANGE_LIMIT, self.cluster().transfer_leader(request)).await },
        )
    }

    /// A node takes nothing new from here on, or does so again.
    pub fn drain_member(&self, request: DrainMemberRequest) -> BoxFuture<'_, Result<Member, ApiError>> {
        Box::pin(
            async move { self.bounded("drain member", self.limits.call, self.cluster().drain_member(request)).await },
        )
    }
}
