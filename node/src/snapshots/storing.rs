//! Blobs on their way from a snapshot into a store: small ones together, because each sync costs as much as many blobs.

use std::io;

use dspex_model::Digest;
use dspex_storage::{BlobPiece, BlobStore, BlobWriter};

/// A blob above this is written by itself.
const SMALL_BYTES: u64 = 256 * 1024;
/// Small ones are written when they are so many bytes.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Takes blobs piece by piece.
pub(super) struct Storing {
    store: BlobStore,
    small: Vec<(Digest, Vec<u8>)>,
    small_bytes: usize,
    /// The large one that is arriving.
    large: Option<BlobWriter>,
}

impl Storing {
    pub(super) fn new(store: BlobStore) -> Self {
        Self { store, small: Vec::new(), small_bytes: 0, large: None }
    }

    /// Takes the next piece.
    pub(super) fn take(&mut self, piece: &BlobPiece<'_>) -> io::Result<()> {
        if piece.length <= SMALL_BYTES {
            // It comes in one piece.
            self.small.push((piece.digest, piece.bytes.to_vec()));
            self.small_bytes += piece.bytes.len();
            return if self.small_bytes >= BATCH_BYTES { self.write_small() } else { Ok(()) };
        }
        let mut writer = self.large.take().unwrap_or_else(|| self.store.writer());
        writer.write(piece.bytes)?;
        if piece.is_last() {
            return same(piece.digest, writer.finish()?);
        }
        self.large = Some(writer);
        Ok(())
    }

    /// All of them are synced when it returns.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.write_small()
    }

    fn write_small(&mut self) -> io::Result<()> {
        self.small_bytes = 0;
        let (digests, blobs): (Vec<Digest>, Vec<Vec<u8>>) = std::mem::take(&mut self.small).into_iter().unzip();
        let stored = self.store.put_many(&blobs)?;
        digests.into_iter().zip(stored).try_for_each(|(expected, stored)| same(expected, stored))
    }
}

fn same(expected: Digest, stored: Digest) -> io::Result<()> {
    if expected == stored { Ok(()) } else { Err(io::Error::other(format!("blob {expected} was stored as {stored}"))) }
}
