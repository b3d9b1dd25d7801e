//! A blob that arrives in pieces: at most one chunk of it is in memory.

use std::io;
use std::sync::{Arc, PoisonError};

use dspex_model::Digest;
use rocksdb::WriteBatch;
use sha2::{Digest as _, Sha256};

use crate::blob_store::{BlobStore, CHUNK_BYTES, chunk_key, chunked, inline, remove_set, set_key, value_key};

/// Writes one blob. Dropping it unfinished removes what was written.
pub struct BlobWriter {
    store: BlobStore,
    set: u64,
    chunks: u32,
    pending: Vec<u8>,
    length: u64,
    hash: Sha256,
    finished: bool,
}

impl std::fmt::Debug for BlobWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobWriter").field("length", &self.length).finish_non_exhaustive()
    }
}

impl BlobWriter {
    pub(crate) fn new(store: BlobStore, set: u64) -> Self {
        Self { store, set, chunks: 0, pending: Vec::new(), length: 0, hash: Sha256::new(), finished: false }
    }

    /// Bytes written so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// When a full chunk cannot be stored.
    pub fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        while !bytes.is_empty() {
            // Only when more follows: a value of exactly one chunk is stored inline.
            if self.pending.len() == CHUNK_BYTES {
                self.store_chunk()?;
            }
            let (now, rest) = bytes.split_at(bytes.len().min(CHUNK_BYTES - self.pending.len()));
            self.pending.extend_from_slice(now);
            bytes = rest;
        }
        Ok(())
    }

    /// Stores the blob under its digest; synced when it returns.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub fn finish(mut self) -> io::Result<Digest> {
        let digest = Digest(self.hash.clone().finalize().into());
        let shared = Arc::clone(&self.store.shared);
        let _sets = shared.sets.lock().unwrap_or_else(PoisonError::into_inner);
        if self.store.contains(&digest)? {
            // The chunks written here are removed by the drop; the sync covers the equal blob's own write.
            self.store.commit(WriteBatch::default())?;
            return Ok(digest);
        }
        let mut batch = WriteBatch::default();
        if self.chunks == 0 {
            batch.put(value_key(&digest), inline(&self.pending));
        } else {
            self.store_chunk()?;
            batch.put(value_key(&digest), chunked(self.length, self.set));
            batch.put(set_key(self.set), digest.0);
        }
        self.store.commit(batch)?;
        self.finished = true;
        Ok(digest)
    }

    fn store_chunk(&mut self) -> io::Result<()> {
        let mut value = Vec::with_capacity(self.pending.len() + 4);
        value.extend_from_slice(&crc32c::crc32c(&self.pending).to_le_bytes());
        value.extend_from_slice(&self.pending);
        self.store.write(|db| db.put(chunk_key(self.set, self.chunks), value))?;
        self.chunks += 1;
        self.pending.clear();
        Ok(())
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if self.finished || self.chunks == 0 {
            return;
        }
        let mut batch = WriteBatch::default();
        remove_set(&mut batch, self.set);
        // What stays behind on a failure is removed by the next start.
        let _ = self.store.shared.db.write(batch);
    }
}
