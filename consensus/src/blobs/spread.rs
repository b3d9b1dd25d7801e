//! Before a proposal names blobs: a majority of the voters has them, synced.

use std::time::Duration;

use bytes::Bytes;
use dspex_model::Digest;
use dspex_storage::BlobStore;
use dspex_transport::Link;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use super::{BlobError, Holder, PIECE_BYTES, STEP_LIMIT};
use crate::codec::wire;
use crate::consensus::Consensus;
use crate::membership::is_voter;
use crate::network::method;

/// For a majority to have them. Large uploads take as long as the slowest of the majority's disks and links.
const SPREAD_LIMIT: Duration = Duration::from_secs(120);

impl Consensus {
    /// Returns when a majority of the voters has stored these blobs, which this node has. With one voter that is so already.
    ///
    /// # Errors
    /// When too few voters have them in time. Those that have keep them for a while: to repeat it costs little.
    pub fn spread<'a>(&'a self, digests: &'a [Digest]) -> BoxFuture<'a, Result<(), BlobError>> {
        Box::pin(async move {
            let raft = self.raft();
            let voters = match self.outpost() {
                Some(outpost) => outpost.voters().addresses.len(),
                None => raft.voter_ids().count(),
            };
            let own = usize::from(is_voter(raft, *raft.node_id()));
            let needed = voters / 2 + 1;
            if digests.is_empty() || own >= needed {
                return Ok(());
            }
            let mut sending: FuturesUnordered<_> = self
                .holders()
                .into_iter()
                .filter(|holder| holder.is_voter)
                .map(|holder| {
                    let (store, digests) = (self.blobs().clone(), digests.to_vec());
                    // A task of its own: a voter beyond the majority is served to the end, so that it need not fetch later.
                    tokio::spawn(async move { (holder.node, send(&store, &holder, &digests).await) })
                })
                .collect();
            let deadline = Instant::now() + SPREAD_LIMIT;
            let (mut have, mut heard) = (own, Vec::new());
            while have < needed {
                match timeout_at(deadline, sending.next()).await {
                    Ok(Some(Ok((_, Ok(()))))) => have += 1,
                    Ok(Some(Ok((node, Err(why))))) => heard.push(format!("node {node}: {why}")),
                    Ok(Some(Err(error))) => heard.push(error.to_string()),
                    Ok(None) => break,
                    Err(_) => {
                        heard.push(format!("no answer within {SPREAD_LIMIT:?}"));
                        break;
                    }
                }
            }
            if have >= needed {
                return Ok(());
            }
            let detail = if heard.is_empty() { "no other voter is known".to_owned() } else { heard.join("; ") };
            Err(BlobError::NotSpread { have, voters, needed, detail })
        })
    }
}

/// Sends a voter what it lacks. When this returns `Ok` it has all of them, synced.
async fn send(store: &BlobStore, holder: &Holder, digests: &[Digest]) -> Result<(), String> {
    let link = &holder.link;
    for asked in digests.chunks(wire::DIGESTS_MAX) {
        let body = wire::encode_digests(asked);
        let reply = link.call(method::BLOBS_MISSING, body, STEP_LIMIT).await.map_err(|error| error.to_string())?;
        let missing = wire::decode_digests(&reply).map_err(|error| error.to_string())?;
        let mut small = Small::default();
        for digest in missing {
            let (length, first) = chunk(store, digest, 0).await?;
            if length > first.len() as u64 {
                send_large(store, link, digest).await?;
            } else {
                if small.bytes + first.len() > PIECE_BYTES {
                    std::mem::take(&mut small).send(link).await?;
                }
                small.push(digest, first);
            }
        }
        small.send(link).await?;
    }
    Ok(())
}

/// Blobs that go in one frame, and are stored with one sync.
#[derive(Default)]
struct Small {
    digests: Vec<Digest>,
    blobs: Vec<Vec<u8>>,
    bytes: usize,
}

impl Small {
    fn push(&mut self, digest: Digest, blob: Vec<u8>) {
        // With its length.
        self.bytes += blob.len() + 4;
        self.digests.push(digest);
        self.blobs.push(blob);
    }

    async fn send(self, link: &Link) -> Result<(), String> {
        if self.digests.is_empty() {
            return Ok(());
        }
        let body = wire::encode_blobs(&self.blobs);
        let reply = link.call(method::BLOBS_STORE, body, STEP_LIMIT).await.map_err(|error| error.to_string())?;
        let stored = wire::decode_digests(&reply).map_err(|error| error.to_string())?;
        if stored == self.digests { Ok(()) } else { Err("it stored something else than was sent".to_owned()) }
    }
}

async fn chunk(store: &BlobStore, digest: Digest, number: u32) -> Result<(u64, Vec<u8>), String> {
    let store = store.clone();
    let read = spawn_blocking(move || store.chunk(&digest, number)).await.map_err(|error| error.to_string())?;
    read.map_err(|error| error.to_string())?.ok_or_else(|| format!("the blob {digest} is not on this node any more"))
}

/// Piece after piece; the last one is answered after the sync.
async fn send_large(store: &BlobStore, link: &Link, digest: Digest) -> Result<(), String> {
    for number in 0.. {
        let (length, piece) = chunk(store, digest, number).await?;
        let offset = u64::from(number) * PIECE_BYTES as u64;
        let last = offset + piece.len() as u64 >= length;
        let body: Bytes = wire::encode_blob_piece(&digest, length, offset, &piece);
        link.call(method::BLOB_PIECE, body, STEP_LIMIT).await.map_err(|error| error.to_string())?;
        if last {
            return Ok(());
        }
    }
    Ok(())
}
