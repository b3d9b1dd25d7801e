//! Peers as openraft sees them. It does what `consensus/src/network.rs` does, over simulated cables.

#[path = "../../src/network/append.rs"]
mod append;

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use futures::stream::Stream;
use openraft::OptionalSend;
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::SnapshotOf;
use tokio::sync::Semaphore;

use crate::blobs::keeper::Lacking;
use crate::disk::{Disk, SnapshotFile};
use crate::mutant::Mutant;
use crate::observer::Seen;
use crate::served::Served;
use crate::types::{Member, Types, Vote};
use crate::wires::{CallError, Session};
use crate::world::World;

/// What is told apart on a connection.
pub(crate) mod method {
    pub(crate) const APPEND: u8 = 1;
    pub(crate) const HEARTBEAT: u8 = 2;
}

/// The pause before the second attempt at a peer that cannot be reached, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// For a piece of a snapshot or an answer. An install writes the whole state, and has longer.
const STEP_LIMIT: Duration = Duration::from_secs(30);
const INSTALL_LIMIT: Duration = Duration::from_secs(600);

/// A snapshot is sent in so many pieces.
const PIECES: u32 = 3;

/// Makes the way to each peer.
#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) node: u64,
    pub(crate) incarnation: u64,
    pub(crate) disk: Disk,
    pub(crate) world: Arc<World>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the network of node {}", self.node)
    }
}

/// What a way to a peer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Replication,
    Heartbeat,
}

/// The way to one peer.
#[derive(Clone)]
pub(crate) struct Peer {
    network: Network,
    to: u64,
    purpose: Purpose,
    /// Room for appends on their way, those of streams that were given up included.
    room: Arc<Semaphore>,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, _member: &Member) -> Peer {
        self.peer(target, Purpose::Replication)
    }

    async fn new_heartbeat_client(&mut self, target: u64, _member: &Member) -> Peer {
        self.peer(target, Purpose::Heartbeat)
    }
}

impl Network {
    fn peer(&self, to: u64, purpose: Purpose) -> Peer {
        Peer { network: self.clone(), to, purpose, room: Arc::new(Semaphore::new(append::IN_FLIGHT)) }
    }

    /// What a member lacks in its own words; `None`: it does not say.
    pub(crate) async fn lacking(&self, node: u64, limit: Duration) -> Option<Lacking> {
        if self.world.mutant == Some(Mutant::VotesWithoutCopies) {
            return Some(Lacking { index: u64::MAX, blobs: 0 });
        }
        let asked = self.world.wires.call(self.node, node, limit, |served| async move { Ok(served.lacking()) });
        asked.await.ok()
    }

    /// Whoever sends appends under a vote leads under it.
    pub(crate) fn leads(&self, vote: &Vote) {
        let contents = self.disk.contents();
        let (log, applied) = (contents.log.read(), contents.state.read().applied);
        let (node, incarnation, leader) = (self.node, self.incarnation, *vote.leader_id());
        self.world.observer.see(Seen::Leads { node, incarnation, leader, log, applied });
    }
}

impl Peer {
    async fn session(&self, limit: Duration) -> Result<Session, RPCError<Types>> {
        Session::open(self.network.clone(), self.to, limit).await.map_err(rpc_error)
    }

    async fn call<R, F, Answer>(&self, limit: Duration, serve: F) -> Result<R, RPCError<Types>>
    where
        R: Send + 'static,
        F: FnOnce(Arc<Served>) -> Answer + Send + 'static,
        Answer: Future<Output = Result<R, String>> + Send + 'static,
    {
        let wires = &self.network.world.wires;
        wires.call(self.network.node, self.to, limit, serve).await.map_err(rpc_error)
    }

    /// Returns the follower's vote after the install.
    async fn send_snapshot(&self, vote: Vote, snapshot: Arc<SnapshotFile>) -> Result<Vote, StreamingError<Types>> {
        for _ in 0..PIECES {
            self.call(STEP_LIMIT, |_| async { Ok(()) }).await.map_err(streaming)?;
        }
        self.call(INSTALL_LIMIT, move |served| served.install(vote, snapshot)).await.map_err(streaming)
    }
}

/// Only who cannot be reached at all is left alone for a while.
fn rpc_error(error: CallError) -> RPCError<Types> {
    match error {
        CallError::Unreachable => Unreachable::from_string(error).into(),
        CallError::Failed(_) | CallError::TimedOut | CallError::Lost => NetworkError::from_string(error).into(),
    }
}

fn unreadable(error: io::Error) -> RPCError<Types> {
    NetworkError::from_string(error).into()
}

fn streaming(error: RPCError<Types>) -> StreamingError<Types> {
    match error {
        RPCError::Unreachable(unreachable) => unreachable.into(),
        other => NetworkError::from_string(other).into(),
    }
}

impl RaftNetworkV2<Types> for Peer {
    type SnapshotData = Arc<SnapshotFile>;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        self.network.leads(&request.vote);
        Ok(self.call(option.soft_ttl(), move |served| served.heartbeat(request)).await?.into())
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
        self.call(option.soft_ttl(), move |served| served.vote(request)).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.call(option.soft_ttl(), move |served| served.pre_vote(request)).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<Types, Arc<SnapshotFile>>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let sent = self.send_snapshot(vote, snapshot.snapshot);
        match select(pin!(sent), pin!(cancel)).await {
            Either::Left((sent, _)) => sent.map(SnapshotResponse::new),
            Either::Right((closed, _)) => Err(closed.into()),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        let serve = move |served: Arc<Served>| async move {
            served.raft.handle_transfer_leader(request).await.map_err(|error| error.to_string())
        };
        self.call(option.soft_ttl(), serve).await
    }

    fn backoff(&self) -> Option<Backoff> {
        let pauses = std::iter::successors(Some(FIRST_PAUSE), |pause| Some((*pause * 2).min(LONGEST_PAUSE)));
        Some(Backoff::new(pauses))
    }
}
