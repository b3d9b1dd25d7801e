//! Peers of a node that has none: whatever is sent to one fails as unreachable.
//!
//! For a single voter this is the truth, and openraft never asks. The transport brings the real one.

use std::future::Future;

use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use openraft::type_config::alias::{SnapshotOf, VoteOf};
use openraft::{OptionalSend, RaftTypeConfig};

use crate::types::{Member, Types};
use dspex_storage::SnapshotFile;

/// Makes connections that do not exist.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoPeers;

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoPeer {
    node: u64,
}

impl NoPeer {
    fn unreachable(self) -> Unreachable<Types> {
        Unreachable::from_string(format!("node {} cannot be reached: this version has no transport", self.node))
    }
}

impl RaftNetworkFactory<Types> for NoPeers {
    type Network = NoPeer;

    async fn new_client(&mut self, target: <Types as RaftTypeConfig>::NodeId, _member: &Member) -> NoPeer {
        NoPeer { node: target }
    }
}

impl RaftNetworkV2<Types> for NoPeer {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        _request: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        Err(self.unreachable().into())
    }

    async fn vote(
        &mut self,
        _request: VoteRequest<Types>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        Err(self.unreachable().into())
    }

    // openraft's default grants: an unreachable peer must not.
    async fn pre_vote(
        &mut self,
        _request: VoteRequest<Types>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        Err(self.unreachable().into())
    }

    async fn full_snapshot(
        &mut self,
        _vote: VoteOf<Types>,
        _snapshot: SnapshotOf<Types, SnapshotFile>,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        Err(self.unreachable().into())
    }
}
