//! Fetches blobs that another node has.

use std::collections::HashSet;

use dspex_model::Digest;
use dspex_storage::{BlobStore, BlobWriter};
use tokio::task::spawn_blocking;

use super::{BlobError, Holder, KEEP, STEP_LIMIT};
use crate::codec::wire;
use crate::consensus::Consensus;
use crate::network::method;

impl Consensus {
    /// Returns when this node has these blobs, which another node may have to give it.
    ///
    /// # Errors
    /// When no node that answers has one of them.
    pub async fn obtain(&self, digests: impl IntoIterator<Item = Digest>) -> Result<(), BlobError> {
        let holders = self.holders();
        // What is not here is nowhere; whoever reads it says so.
        if holders.is_empty() {
            return Ok(());
        }
        let wanted: Vec<Digest> = digests.into_iter().collect::<HashSet<_>>().into_iter().collect();
        let store = self.blobs().clone();
        let missing = spawn_blocking(move || store.missing(&wanted, None)).await.map_err(BlobError::storage)?;
        for digest in missing.map_err(BlobError::storage)? {
            self.blobs().pin(digest, KEEP);
            self.fetch(digest, &holders).await?;
        }
        Ok(())
    }

    /// Asks one node after another.
    async fn fetch(&self, digest: Digest, holders: &[Holder]) -> Result<(), BlobError> {
        let mut heard = Vec::new();
        for holder in holders {
            match fetch_from(self.blobs(), holder, digest).await {
                Ok(true) => return Ok(()),
                Ok(false) => heard.push(format!("node {} does not have it", holder.node)),
                Err(why) => heard.push(format!("node {}: {why}", holder.node)),
            }
        }
        Err(BlobError::NotFound { digest, detail: heard.join("; ") })
    }
}

/// `false`: it does not have it.
async fn fetch_from(store: &BlobStore, holder: &Holder, digest: Digest) -> Result<bool, String> {
    let mut writer = store.writer();
    for number in 0.. {
        let body = wire::encode_blob_read(&digest, number);
        let reply = holder.link.call(method::BLOB_READ, body, STEP_LIMIT).await.map_err(|error| error.to_string())?;
        let Some((length, piece)) = wire::decode_blob_chunk(&reply).map_err(|error| error.to_string())? else {
            return if number == 0 { Ok(false) } else { Err("it has only a part of it".to_owned()) };
        };
        writer = write(writer, piece.to_vec()).await?;
        if writer.length() >= length {
            break;
        }
    }
    let found = spawn_blocking(move || writer.finish()).await.map_err(|error| error.to_string())?;
    match found.map_err(|error| error.to_string())? {
        found if found == digest => Ok(true),
        found => Err(format!("it gave {found} instead")),
    }
}

async fn write(mut writer: BlobWriter, piece: Vec<u8>) -> Result<BlobWriter, String> {
    let written = spawn_blocking(move || writer.write(&piece).map(|()| writer)).await;
    written.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}
