//! A snapshot of the cluster's state on its way to whoever saves it.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use dspex_api::v1::{SnapshotChunk, SnapshotFacts};
use dspex_api::{ApiError, Code, reason};
use dspex_consensus::{BlobError, Freshness, ImageError, StateImage};
use dspex_model::{Command, Digest, Outline, Proposal};
use dspex_storage::{ArchiveHeader, ArchivePieces, BlobHold, SnapshotFile};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::Node;
use super::errors::{self, internal, storage};
use crate::activity::ActivityGuard;

/// Pieces on their way; a piece has a MiB or less.
const QUEUE: usize = 4;
/// For the caller to take a piece: no blob of the node is freed meanwhile.
const STALL_LIMIT: Duration = Duration::from_secs(60);
/// Blobs looked for at once.
const FETCHED_AT_ONCE: usize = 1024;

pub(super) type SnapshotStream = ReceiverStream<Result<SnapshotChunk, Status>>;

/// The place for the one snapshot that a node saves at a time: each takes room for the whole state, and keeps all blobs.
pub(super) struct SavingPlace(Arc<Semaphore>);

impl SavingPlace {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }

    pub(super) fn take(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let busy = |_| {
            let message =
                "a snapshot is being saved on this node already: try again when that has ended, or at another node";
            ApiError::new(Code::ResourceExhausted, reason::SNAPSHOT_BUSY, message)
        };
        Arc::clone(&self.0).try_acquire_owned().map_err(busy)
    }
}

/// Held until the last piece has gone, or the caller has.
struct UnderWay {
    _place: OwnedSemaphorePermit,
    _call: ActivityGuard,
}

impl Node {
    /// Fixes the state, fetches the blobs that it refers to, and sends both piece by piece.
    pub(super) async fn save_snapshot(
        self: &Arc<Self>,
        actor: Option<String>,
        freshness: Freshness,
        place: OwnedSemaphorePermit,
    ) -> Result<SnapshotStream, Status> {
        let under_way = UnderWay { _place: place, _call: self.activity.enter() };
        // Before the state is fixed: what it refers to stays here until it was read.
        let hold = self.hold_blobs().await?;
        let StateImage { file, position } = self.consensus.image(freshness).await.map_err(|error| image(&error))?;
        let (file, outline) =
            spawn_blocking(move || outline(file)).await.map_err(internal)?.map_err(|e| storage(&e))?;
        self.fetch(&outline.blobs).await?;
        let header = ArchiveHeader {
            cluster_id: outline.cluster.map(|cluster| cluster.id),
            node_id: self.tree.node(),
            term: position.term,
            index: position.index,
            is_confirmed: freshness != Freshness::Stale,
            log_time_ms: outline.log_time_ms,
            saved_ms: self.consensus.now_ms(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
        };
        // Without a quorum nothing can be noted, and nobody may be there to wait for.
        if header.is_confirmed {
            self.note_saved(actor, position.index).await;
        }
        let facts = facts(&header, outline.blobs.len());
        let pieces = ArchivePieces::new(&header, file, outline.blobs, self.blobs.clone(), hold);
        let pieces = pieces.map_err(|error| storage(&error))?;
        let (sender, receiver) = mpsc::channel(QUEUE);
        let node = Arc::clone(self);
        tokio::spawn(async move {
            let _under_way = under_way;
            if !send(pieces, facts, &sender).await {
                tracing::warn!(
                    "a snapshot was given up: its caller takes nothing more of it, or a part cannot be read"
                );
            }
            node.tree.free_blobs();
        });
        Ok(ReceiverStream::new(receiver))
    }

    async fn hold_blobs(&self) -> Result<BlobHold, Status> {
        let store = self.blobs.clone();
        spawn_blocking(move || store.hold()).await.map_err(internal)
    }

    /// Another node may have what this one lacks. A snapshot without it would be none.
    async fn fetch(&self, blobs: &BTreeSet<Digest>) -> Result<(), Status> {
        let wanted: Vec<Digest> = blobs.iter().copied().collect();
        for asked in wanted.chunks(FETCHED_AT_ONCE) {
            self.consensus.obtain(asked.iter().copied()).await.map_err(|error| self.lacking(&error))?;
            let (store, asked) = (self.blobs.clone(), asked.to_vec());
            let missing = spawn_blocking(move || store.missing(&asked, None)).await.map_err(internal)?;
            if let Some(digest) = missing.map_err(|error| storage(&error))?.first() {
                let detail = "no other node could have it".to_owned();
                return Err(self.lacking(&BlobError::NotFound { digest: *digest, detail }));
            }
        }
        Ok(())
    }

    fn lacking(&self, error: &BlobError) -> Status {
        let BlobError::NotFound { digest, .. } = error else { return storage(&io::Error::other(error.to_string())) };
        let naming = self.consensus.read_stale(|state| {
            let runs = state.runs().filter(|(_, run)| run.blobs().any(|blob| blob == *digest));
            let programs = state.programs().filter(|(_, program)| program.blobs().any(|blob| blob == *digest));
            let runs = runs.map(|(id, _)| format!("run {id}"));
            runs.chain(programs.map(|(_, program)| format!("program {}", program.info.key))).collect::<Vec<_>>()
        });
        let advice = if naming.is_empty() {
            "Nothing names it but an execution, or what was deleted meanwhile: when it is lost for good, \
             `dspex execution clear` forgets all executions, then save again"
                .to_owned()
        } else {
            format!("It is named by {}: when it is lost for good, delete that, then save again", naming.join(", "))
        };
        ApiError::new(Code::Unavailable, reason::BLOB_NOT_FOUND, format!("{error}. {advice}")).into()
    }

    /// Who saves a snapshot has all that the cluster knows. A note that is lost is logged, not an error.
    async fn note_saved(&self, actor: Option<String>, index: u64) {
        let command = Command::Audit { action: "snapshot save".to_owned(), subject: format!("entry {index}") };
        if let Err(error) = self.consensus.propose(Proposal { actor, ..Proposal::internal(command) }).await {
            tracing::warn!(%error, index, "that a snapshot was saved is not in the audit trail");
        }
    }
}

fn image(error: &ImageError) -> Status {
    match error {
        ImageError::Read(error) => errors::read(error).into(),
        ImageError::Storage(error) => storage(error),
        other => internal(other),
    }
}

fn outline(file: SnapshotFile) -> io::Result<(SnapshotFile, Outline)> {
    let mut outline = Outline::default();
    file.read(|key, value| {
        outline.add(key, value).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
    })?;
    Ok((file, outline))
}

fn facts(header: &ArchiveHeader, blobs: usize) -> SnapshotFacts {
    SnapshotFacts {
        cluster_id: header.cluster_id.clone().unwrap_or_default(),
        node_id: header.node_id.0,
        term: header.term,
        index: header.index,
        log_time_unix_ms: header.log_time_ms,
        blobs: blobs as u64,
        confirmed: header.is_confirmed,
    }
}

/// Whether the caller has got all of it.
async fn send(
    mut pieces: ArchivePieces,
    facts: SnapshotFacts,
    sender: &mpsc::Sender<Result<SnapshotChunk, Status>>,
) -> bool {
    let mut chunk = Ok(SnapshotChunk { facts: Some(facts), ..SnapshotChunk::default() });
    loop {
        let goes_on = matches!(&chunk, Ok(chunk) if !chunk.end);
        let is_whole = chunk.is_ok();
        if !matches!(timeout(STALL_LIMIT, sender.send(chunk)).await, Ok(Ok(()))) {
            return false;
        }
        if !goes_on {
            return is_whole;
        }
        let read = spawn_blocking(move || {
            let piece = pieces.next();
            (pieces, piece)
        });
        let Ok((rest, piece)) = read.await else { return false };
        pieces = rest;
        chunk = match piece {
            Some(Ok(data)) => Ok(SnapshotChunk { data: data.into(), ..SnapshotChunk::default() }),
            Some(Err(error)) => Err(storage(&error)),
            None => Ok(SnapshotChunk { end: true, ..SnapshotChunk::default() }),
        };
    }
}
