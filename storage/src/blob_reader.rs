//! Reads a blob chunk by chunk, checking each chunk and, before the last one is handed out, the whole.

use std::io;

use dspex_model::Digest;
use sha2::{Digest as _, Sha256};

use crate::blob_store::{BlobStore, CHUNK_BYTES, Stored, chunk_key};
use crate::error::{corrupt, from_rocksdb};

/// An iterator over a blob's chunks, each at most 1 MiB.
pub struct BlobReader {
    store: BlobStore,
    digest: Digest,
    stored: Option<Stored>,
    next: u32,
    read: u64,
    length: u64,
    hash: Sha256,
}

impl std::fmt::Debug for BlobReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobReader").field("digest", &self.digest).field("read", &self.read).finish_non_exhaustive()
    }
}

impl BlobReader {
    pub(crate) fn new(store: BlobStore, digest: Digest, stored: Stored) -> Self {
        let length = match &stored {
            Stored::Inline(bytes) => bytes.len() as u64,
            Stored::Chunked { length, .. } => *length,
        };
        Self { store, digest, stored: Some(stored), next: 0, read: 0, length, hash: Sha256::new() }
    }

    /// The whole blob's length.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Accounts for a chunk and, at the end, compares the whole with the digest.
    fn account(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.hash.update(chunk);
        self.read += chunk.len() as u64;
        self.next += 1;
        let damaged = self.read > self.length
            || (self.read == self.length && self.hash.clone().finalize()[..] != self.digest.0[..]);
        if damaged { Err(corrupt(format!("blob {} does not match its digest", self.digest))) } else { Ok(()) }
    }
}

/// One chunk of a value, checked by itself.
pub(crate) fn chunk(store: &BlobStore, digest: &Digest, set: u64, number: u32) -> io::Result<Vec<u8>> {
    let damaged = || corrupt(format!("chunk {number} of blob {digest} is missing or damaged"));
    let mut value = store.shared.db.get(chunk_key(set, number)).map_err(from_rocksdb)?.ok_or_else(damaged)?;
    let stored = *value.first_chunk::<4>().ok_or_else(damaged)?;
    value.drain(..4);
    if crc32c::crc32c(&value) != u32::from_le_bytes(stored) || value.len() > CHUNK_BYTES {
        return Err(damaged());
    }
    Ok(value)
}

impl Iterator for BlobReader {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        let chunk = match self.stored.take()? {
            Stored::Inline(bytes) => Ok(bytes),
            Stored::Chunked { .. } if self.read == self.length => return None,
            Stored::Chunked { length, set } => {
                self.stored = Some(Stored::Chunked { length, set });
                chunk(&self.store, &self.digest, set, self.next)
            }
        };
        let verified = chunk.and_then(|chunk| self.account(&chunk).map(|()| chunk));
        if verified.is_err() {
            self.stored = None;
        }
        Some(verified)
    }
}
