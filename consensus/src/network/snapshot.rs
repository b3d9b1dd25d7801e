//! Sends a snapshot to a follower that the log cannot help any more: in pieces, from where an earlier attempt ended.

use std::io;
use std::time::Duration;

use dspex_storage::SnapshotFile;
use dspex_transport::{CallError, Link};
use openraft::errors::{NetworkError, StreamingError, Unreachable};

use super::method;
use crate::codec::wire;
use crate::types::{Types, Vote};

/// Bytes of a piece; a frame of the bulk channel has room for one and its header.
const PIECE: u64 = 1024 * 1024;

/// For a piece or an answer. An install writes the whole state, and has longer.
const STEP_LIMIT: Duration = Duration::from_secs(30);
const INSTALL_LIMIT: Duration = Duration::from_secs(600);

/// Returns the follower's vote after the install.
pub(super) async fn send(link: &Link, vote: &Vote, snapshot: SnapshotFile) -> Result<Vote, StreamingError<Types>> {
    let (length, digest) = read(&snapshot, |file| Ok((file.length()?, file.digest()?))).await?;
    let offer = wire::encode_snapshot_offer(length, &digest);
    let reply = link.call(method::SNAPSHOT_OFFER, offer, STEP_LIMIT).await.map_err(failed)?;
    let mut has = wire::decode_snapshot_has(&reply).map_err(unreadable)?;
    tracing::info!(bytes = length, resumed_at = has, "sending a snapshot");
    while has < length {
        let size = PIECE.min(length - has);
        let piece = read(&snapshot, move |file| file.piece(has, size)).await?;
        let body = wire::encode_snapshot_chunk(&digest, has, &piece);
        let reply = link.call(method::SNAPSHOT_CHUNK, body, STEP_LIMIT).await.map_err(failed)?;
        let now = wire::decode_snapshot_has(&reply).map_err(unreadable)?;
        if now <= has {
            return Err(NetworkError::from_string("the follower took no more of the snapshot").into());
        }
        has = now;
    }
    let install = wire::encode_snapshot_install(vote, &digest);
    let reply = link.call(method::SNAPSHOT_INSTALL, install, INSTALL_LIMIT).await.map_err(failed)?;
    wire::decode_snapshot_answer(&reply).map_err(unreadable)
}

/// Reads from the file without blocking a runtime thread.
async fn read<R: Send + 'static>(
    file: &SnapshotFile,
    read: impl FnOnce(&SnapshotFile) -> io::Result<R> + Send + 'static,
) -> Result<R, StreamingError<Types>> {
    let file = file.try_clone().map_err(unreadable)?;
    let read = tokio::task::spawn_blocking(move || read(&file)).await;
    read.map_err(io::Error::other).and_then(|result| result).map_err(unreadable)
}

fn unreadable(error: io::Error) -> StreamingError<Types> {
    NetworkError::from_string(error).into()
}

fn failed(error: CallError) -> StreamingError<Types> {
    match error {
        CallError::Unreachable(_) => Unreachable::from_string(error).into(),
        _ => NetworkError::from_string(error).into(),
    }
}
