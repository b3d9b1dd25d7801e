//! Peers as openraft sees them, over the connections of the transport.
//!
//! Replication has a stream of appends in flight; heartbeats are a method of their own, so that they neither wait behind
//! entries nor disturb their order. Snapshots go over the bulk channel, so that nothing waits behind them.

mod append;
mod snapshot;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dspex_storage::SnapshotFile;
use dspex_transport::{CallError, Channel, Link, Session, Transport};
use futures::stream::Stream;
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::{SnapshotOf, VoteOf};
use openraft::{OptionalSend, RaftTypeConfig};
use tokio::sync::Semaphore;

use crate::addresses::Addresses;
use crate::codec::wire;
use crate::types::{Member, Types};

/// What is asked on the consensus and bulk channels. The numbers are on the wire, and never reused.
pub(crate) mod method {
    pub(crate) const APPEND: u8 = 1;
    pub(crate) const HEARTBEAT: u8 = 2;
    pub(crate) const VOTE: u8 = 3;
    pub(crate) const PRE_VOTE: u8 = 4;
    pub(crate) const TRANSFER: u8 = 5;
    pub(crate) const PROPOSE: u8 = 6;
    pub(crate) const READ_INDEX: u8 = 7;
    pub(crate) const LEASE_INDEX: u8 = 8;
    pub(crate) const MEMBER: u8 = 9;
    pub(crate) const INTRODUCE: u8 = 10;
    pub(crate) const JOIN: u8 = 11;
    pub(crate) const STATUS: u8 = 12;
    pub(crate) const VOTERS: u8 = 13;
    pub(crate) const SNAPSHOT_OFFER: u8 = 16;
    pub(crate) const SNAPSHOT_CHUNK: u8 = 17;
    pub(crate) const SNAPSHOT_INSTALL: u8 = 18;
    pub(crate) const BLOBS_MISSING: u8 = 20;
    pub(crate) const BLOBS_STORE: u8 = 21;
    pub(crate) const BLOB_PIECE: u8 = 22;
    pub(crate) const BLOB_READ: u8 = 23;
    pub(crate) const BLOBS_LACKING: u8 = 24;
}

/// The pause before the second attempt at a peer that cannot be reached, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Makes the way to each peer.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    /// `None`: an embedded node, which has no peers.
    pub(crate) transport: Option<Transport>,
    pub(crate) addresses: Addresses,
}

/// What a way to a peer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Replication,
    Heartbeat,
}

/// The way to one peer.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    node: u64,
    purpose: Purpose,
    /// Room for appends on their way, those of streams that were given up included.
    room: Arc<Semaphore>,
    /// As it was when openraft began; the network knows newer ones.
    address: String,
    network: Network,
}

impl Network {
    fn peer(&self, node: u64, member: &Member, purpose: Purpose) -> Peer {
        let room = Arc::new(Semaphore::new(append::IN_FLIGHT));
        Peer { node, purpose, room, address: member.address.clone(), network: self.clone() }
    }

    /// The way to a member on a channel; `None`: an embedded node has no peers.
    pub(crate) fn link(&self, node: u64, address: &str, channel: Channel) -> Option<Link> {
        let known = self.addresses.get(node);
        Some(self.transport.as_ref()?.link(node, known.as_deref().unwrap_or(address), channel))
    }
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: <Types as RaftTypeConfig>::NodeId, member: &Member) -> Peer {
        self.peer(target, member, Purpose::Replication)
    }

    async fn new_heartbeat_client(&mut self, target: <Types as RaftTypeConfig>::NodeId, member: &Member) -> Peer {
        self.peer(target, member, Purpose::Heartbeat)
    }
}

impl Peer {
    fn link(&self, channel: Channel) -> Result<Link, Unreachable<Types>> {
        let none =
            || Unreachable::from_string(format!("node {} cannot be reached: an embedded node has no peers", self.node));
        self.network.link(self.node, &self.address, channel).ok_or_else(none)
    }

    async fn session(&self, limit: Duration) -> Result<Session, RPCError<Types>> {
        self.link(Channel::Consensus)?.session(limit).await.map_err(rpc_error)
    }

    async fn call(&self, method: u8, body: Bytes, limit: Duration) -> Result<Bytes, RPCError<Types>> {
        self.link(Channel::Consensus)?.call(method, body, limit).await.map_err(rpc_error)
    }
}

/// Only who cannot be reached at all is left alone for a while.
fn rpc_error(error: CallError) -> RPCError<Types> {
    match error {
        CallError::Unreachable(_) => Unreachable::from_string(error).into(),
        CallError::Full
        | CallError::Failed(_)
        | CallError::TimedOut
        | CallError::Lost(_)
        | CallError::TooLong { .. } => NetworkError::from_string(error).into(),
    }
}

fn unreadable(error: std::io::Error) -> RPCError<Types> {
    NetworkError::from_string(error).into()
}

impl RaftNetworkV2<Types> for Peer {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let reply = self.call(method::HEARTBEAT, wire::encode_append(&request), option.soft_ttl()).await?;
        Ok(wire::decode_appended(&reply).map_err(unreadable)?.into())
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<Types>, RPCError<Types>>>, RPCError<Types>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move { Ok(append::stream(self, input, &option)) })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let reply = self.call(method::VOTE, wire::encode_ballot(&request), option.soft_ttl()).await?;
        wire::decode_ballot_answer(&reply).map_err(unreadable)
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let reply = self.call(method::PRE_VOTE, wire::encode_ballot(&request), option.soft_ttl()).await?;
        wire::decode_ballot_answer(&reply).map_err(unreadable)
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<Types>,
        snapshot: SnapshotOf<Types, SnapshotFile>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let bulk = self.link(Channel::Bulk)?;
        tokio::select! {
            sent = snapshot::send(&bulk, &vote, snapshot.snapshot) => sent.map(SnapshotResponse::new),
            closed = cancel => Err(closed.into()),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        let reply = self.call(method::TRANSFER, wire::encode_transfer(&request), option.soft_ttl()).await?;
        wire::decode_transfer_answer(&reply).map_err(unreadable)
    }

    fn backoff(&self) -> Option<Backoff> {
        let pauses = std::iter::successors(Some(FIRST_PAUSE), |pause| Some((*pause * 2).min(LONGEST_PAUSE)));
        Some(Backoff::new(pauses))
    }
}
