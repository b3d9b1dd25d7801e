//! What a node does for its peers. It does what `consensus/src/service` does, without bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use dspex_model::{Digest, NodeId};
use futures::stream::{self, StreamExt};
use openraft::raft::{AppendEntriesRequest, StreamAppendResult, VoteRequest, VoteResponse};
use openraft::{ReadPolicy, Snapshot};
use tokio::sync::{mpsc, oneshot};

use crate::blobs::keeper::Lacking;
use crate::blobs::{BlobStore, KEEP};
use crate::contradiction;
use crate::disk::SnapshotFile;
use crate::handle::Handle;
use crate::leading::{Leading, Proposed};
use crate::membership::{self, Copies, MemberChange};
use crate::observer::Seen;
use crate::refusal::Refusal;
use crate::rounds::Rounds;
use crate::traps::Moment;
use crate::types::{Raft, Types, Vote};
use crate::wires::Incoming;
use crate::world::World;

/// For a change of members: promoting waits until the learner has caught up.
const MEMBER_LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

/// What peers are served with.
pub(crate) struct Served {
    pub(crate) node: u64,
    pub(crate) incarnation: u64,
    pub(crate) raft: Raft,
    pub(crate) leading: Leading,
    pub(crate) rounds: Rounds,
    pub(crate) blobs: BlobStore,
    pub(crate) copies: Copies,
    pub(crate) world: Arc<World>,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Served {
    pub(crate) fn new(handle: &Handle, incarnation: u64) -> Self {
        let (raft, leading, world) = (handle.raft.clone(), handle.leading.clone(), &handle.network.world);
        let answering = leading.clone();
        // A peer that is asked by mistake says who leads; it does not ask on.
        let rounds = Rounds::start(move || {
            let leading = answering.clone();
            async move { leading.read_index(ReadPolicy::ReadIndex).await }
        });
        let (node, blobs, copies) = (*raft.node_id(), handle.blobs.clone(), handle.copies.clone());
        Self { node, incarnation, raft, leading, rounds, blobs, copies, world: Arc::clone(world) }
    }

    /// What a node asks that was removed and does not know it yet. Only a leader knows the members for certain.
    fn admit(&self, peer: u64) -> Result<(), Refusal> {
        if self.raft.is_leader() && membership::known_at(&self.raft, NodeId(peer)).is_none() {
            return Err(Refusal::Refused(format!("node {peer} is no member of this cluster any more")));
        }
        Ok(())
    }

    pub(crate) fn lacking(&self) -> Lacking {
        *self.copies.own.borrow()
    }

    pub(crate) fn missing(&self, digests: &[Digest]) -> Vec<Digest> {
        self.blobs.missing(digests, Some(KEEP)).unwrap_or_default()
    }

    pub(crate) async fn store(self: Arc<Self>, blobs: Vec<Arc<[u8]>>) -> Vec<Digest> {
        let mut stored = Vec::new();
        for bytes in blobs {
            stored.push(self.blobs.put(bytes).await);
        }
        self.world.reached(self.node, Moment::BlobsStored).await;
        stored
    }

    pub(crate) async fn heartbeat(
        self: Arc<Self>,
        append: AppendEntriesRequest<Types>,
    ) -> Result<StreamAppendResult<Types>, String> {
        self.compare(&append)?;
        let before = append.prev_log_id;
        let last = append.entries.last().map(openraft::entry::RaftEntry::log_id);
        let reply = self.raft.append_entries(append).await.map_err(text)?;
        Ok(reply.into_stream_result(before, last.or(before)))
    }

    /// Looks at an append before openraft does.
    fn compare(&self, append: &AppendEntriesRequest<Types>) -> Result<(), String> {
        let compared = contradiction::check(&self.raft, &self.copies.network.disk, append);
        compared.inspect_err(|detail| self.world.observer.see(Seen::Failed { node: self.node, detail }))
    }

    pub(crate) async fn vote(self: Arc<Self>, request: VoteRequest<Types>) -> Result<VoteResponse<Types>, String> {
        let reply = self.raft.vote(request).await.map_err(text)?;
        if reply.vote_granted {
            self.world.reached(self.node, Moment::VoteGranted).await;
        }
        Ok(reply)
    }

    pub(crate) async fn pre_vote(self: Arc<Self>, request: VoteRequest<Types>) -> Result<VoteResponse<Types>, String> {
        self.raft.pre_vote(request).await.map_err(text)
    }

    pub(crate) async fn install(self: Arc<Self>, vote: Vote, snapshot: Arc<SnapshotFile>) -> Result<Vote, String> {
        let snapshot = Snapshot { meta: snapshot.meta.clone(), snapshot };
        Ok(self.raft.install_full_snapshot(vote, snapshot).await.map_err(text)?.vote)
    }

    pub(crate) async fn propose(
        self: Arc<Self>,
        peer: u64,
        proposal: Vec<u8>,
    ) -> Result<Result<Proposed, Refusal>, String> {
        if let Err(refusal) = self.admit(peer) {
            return Ok(Err(refusal));
        }
        Ok(self.leading.propose_encoded(&proposal).await)
    }

    pub(crate) async fn read_index(
        self: Arc<Self>,
        peer: u64,
        policy: ReadPolicy,
    ) -> Result<Result<u64, Refusal>, String> {
        if let Err(refusal) = self.admit(peer) {
            return Ok(Err(refusal));
        }
        Ok(match policy {
            ReadPolicy::ReadIndex => self.rounds.join().await,
            ReadPolicy::LeaseRead => self.leading.read_index(ReadPolicy::LeaseRead).await,
        })
    }

    pub(crate) async fn change(
        self: Arc<Self>,
        peer: u64,
        change: MemberChange,
    ) -> Result<Result<(), Refusal>, String> {
        if let Err(refusal) = self.admit(peer) {
            return Ok(Err(refusal));
        }
        Ok(membership::begin(&self.raft, &self.copies, &change, MEMBER_LIMIT).await)
    }

    /// Appends of one connection: handed to openraft in their order, many at a time, answered in their order. A refused
    /// append ends openraft's stream: what was sent behind it is refused as well; then another stream begins.
    pub(crate) async fn receive(self: Arc<Self>, mut requests: mpsc::UnboundedReceiver<Incoming>) {
        while let Some(first) = requests.recv().await {
            let mut waiting = VecDeque::new();
            let (feed, fed) = mpsc::unbounded_channel();
            let answers = self.raft.stream_append(entries(fed));
            let mut answers = std::pin::pin!(answers);
            self.take(&feed, &mut waiting, first);
            while !waiting.is_empty() {
                tokio::select! {
                    biased;
                    answer = answers.next() => match answer {
                        Some(Ok(appended)) => {
                            let refused = appended.is_err();
                            self.answer(waiting.pop_front(), appended).await;
                            if refused {
                                break;
                            }
                        }
                        Some(Err(_)) => return,
                        None => break,
                    },
                    Some(request) = requests.recv() => self.take(&feed, &mut waiting, request),
                }
            }
            for refused in waiting {
                let _ = refused.send(Err("an append before it was refused".to_owned()));
            }
        }
    }

    fn take(
        &self,
        feed: &mpsc::UnboundedSender<AppendEntriesRequest<Types>>,
        waiting: &mut VecDeque<oneshot::Sender<Result<StreamAppendResult<Types>, String>>>,
        incoming: Incoming,
    ) {
        if let Err(detail) = self.compare(&incoming.request) {
            // The sender may have given up.
            let _ = incoming.answer.send(Err(detail));
            return;
        }
        waiting.push_back(incoming.answer);
        // Fails when openraft has stopped; its stream says why.
        let _ = feed.send(incoming.request);
    }

    async fn answer(
        &self,
        to: Option<oneshot::Sender<Result<StreamAppendResult<Types>, String>>>,
        appended: StreamAppendResult<Types>,
    ) {
        let acknowledged = appended.is_ok();
        if let Some(to) = to {
            let _ = to.send(Ok(appended));
        }
        if acknowledged {
            self.world.reached(self.node, Moment::AppendAcknowledged).await;
        }
    }
}

fn entries(
    fed: mpsc::UnboundedReceiver<AppendEntriesRequest<Types>>,
) -> impl futures::Stream<Item = AppendEntriesRequest<Types>> {
    stream::unfold(fed, |mut fed| async move { fed.recv().await.map(|append| (append, fed)) })
}
