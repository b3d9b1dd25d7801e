//! Snapshots that a leader sends here. One at a time; what has arrived stays for the next attempt.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use dspex_storage::{IncomingSnapshot, SnapshotFile};
use dspex_transport::Request;
use openraft::Snapshot;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::spawn_blocking;

use super::{PeerService, Served};
use crate::codec::wire;
use crate::machine::snapshot_meta;
use crate::network::method;

/// Until the connection ends, one after another.
pub(super) async fn run(service: PeerService, mut requests: UnboundedReceiver<Request>) {
    while let Some(request) = requests.recv().await {
        let reply = match service.get() {
            Some(served) => reply(&served, &request).await,
            None => Err(io::Error::other("consensus has not started, or is ending")),
        };
        match reply {
            Ok(reply) => request.reply(reply).await,
            Err(error) => {
                tracing::warn!(%error, "a snapshot from a peer was refused");
                request.fail(error.to_string()).await;
            }
        }
    }
}

async fn reply(served: &Arc<Served>, request: &Request) -> io::Result<Bytes> {
    match request.method {
        method::SNAPSHOT_OFFER => {
            let (length, digest) = wire::decode_snapshot_offer(&request.body)?;
            let mut incoming = served.incoming.lock().await;
            if incoming.as_ref().is_none_or(|known| *known.digest() != digest) {
                // The old one first: two would take twice the space.
                *incoming = None;
                *incoming = Some(IncomingSnapshot::begin(&served.snapshots, length, digest)?);
            }
            Ok(wire::encode_snapshot_has(incoming.as_ref().map_or(0, IncomingSnapshot::has)))
        }
        method::SNAPSHOT_CHUNK => {
            let mut incoming = Arc::clone(&served.incoming).lock_owned().await;
            let body = request.body.clone();
            let write = move || {
                let (digest, offset, bytes) = wire::decode_snapshot_chunk(&body)?;
                match incoming.as_mut() {
                    Some(incoming) if *incoming.digest() == digest => incoming.write(offset, bytes),
                    _ => Err(unknown()),
                }
            };
            Ok(wire::encode_snapshot_has(spawn_blocking(write).await.map_err(io::Error::other)??))
        }
        method::SNAPSHOT_INSTALL => install(served, &request.body).await,
        other => Err(io::Error::other(format!("method {other} is unknown here: start a newer dspex"))),
    }
}

async fn install(served: &Served, body: &[u8]) -> io::Result<Bytes> {
    let (vote, digest) = wire::decode_snapshot_install(body)?;
    let incoming = served.incoming.lock().await.take().filter(|known| *known.digest() == digest).ok_or_else(unknown)?;
    // Before openraft sees it: a damaged file is the leader's to send again, not a reason to stop.
    let verify = move || -> io::Result<SnapshotFile> { incoming.finish() };
    let snapshot = spawn_blocking(verify).await.map_err(io::Error::other)??;
    let part = snapshot.path().to_path_buf();
    let meta = snapshot_meta(&snapshot)?;
    let index = meta.last_log_id.map(|log_id| log_id.index);
    let installed = served.raft.install_full_snapshot(vote, Snapshot { meta, snapshot }).await;
    let answer = installed.map_err(io::Error::other)?;
    // openraft installs nothing that is older than what it has; what it installed has another name by now.
    let _ = std::fs::remove_file(part);
    tracing::info!(index, "installed a snapshot of the leader");
    Ok(wire::encode_snapshot_answer(&answer.vote))
}

fn unknown() -> io::Error {
    io::Error::other("this snapshot was not offered, or another one has taken its place: offer it again")
}
