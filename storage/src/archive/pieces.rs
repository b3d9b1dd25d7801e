//! An archive as it comes into being, piece after piece: whoever takes the pieces sets the pace, and one of them is in memory.

use std::collections::BTreeSet;
use std::io;

use dspex_model::Digest;
use sha2::{Digest as _, Sha256};

use super::{ArchiveHeader, with_checksum};
use crate::blob_hold::BlobHold;
use crate::blob_reader::BlobReader;
use crate::blob_store::BlobStore;
use crate::snapshot_file::SnapshotFile;

/// A piece has so many bytes, and up to a chunk of a blob more; the last one has fewer.
const PIECE_BYTES: usize = 256 * 1024;

/// The bytes of an archive in order. The last piece is there only when everything before it could be read.
#[derive(Debug)]
pub struct ArchivePieces {
    stage: Stage,
    state: SnapshotFile,
    state_bytes: u64,
    store: BlobStore,
    blobs: Vec<Digest>,
    hash: Sha256,
    _hold: BlobHold,
}

/// What comes next.
#[derive(Debug)]
enum Stage {
    Head(Vec<u8>),
    State { offset: u64 },
    Blobs { next: usize },
    Blob { reader: Box<BlobReader>, next: usize },
    End,
    Done,
}

impl ArchivePieces {
    /// Of a state and the blobs that it refers to, all of which are in the store. `hold` was taken before the state was frozen.
    ///
    /// # Errors
    /// When the state's file cannot be looked at.
    pub fn new(
        header: &ArchiveHeader,
        state: SnapshotFile,
        blobs: BTreeSet<Digest>,
        store: BlobStore,
        hold: BlobHold,
    ) -> io::Result<Self> {
        let state_bytes = state.length()?;
        let mut head = header.encode();
        head.extend_from_slice(&with_checksum(state_bytes.to_le_bytes().to_vec()));
        Ok(Self {
            stage: Stage::Head(head),
            state,
            state_bytes,
            store,
            blobs: blobs.into_iter().collect(),
            hash: Sha256::new(),
            _hold: hold,
        })
    }

    /// Adds what comes next; gives what comes then.
    fn step(&mut self, piece: &mut Vec<u8>) -> io::Result<Stage> {
        Ok(match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Head(head) => {
                piece.extend_from_slice(&head);
                Stage::State { offset: 0 }
            }
            Stage::State { offset } if offset < self.state_bytes => {
                let size = (self.state_bytes - offset).min(PIECE_BYTES as u64);
                piece.extend_from_slice(&self.state.piece(offset, size)?);
                Stage::State { offset: offset + size }
            }
            Stage::State { .. } => {
                piece.extend_from_slice(&with_checksum((self.blobs.len() as u64).to_le_bytes().to_vec()));
                Stage::Blobs { next: 0 }
            }
            Stage::Blobs { next } => match self.blobs.get(next) {
                Some(digest) => Stage::Blob { reader: self.begin(digest, piece)?, next: next + 1 },
                None => Stage::End,
            },
            Stage::Blob { mut reader, next } => match reader.next() {
                Some(chunk) => {
                    piece.extend_from_slice(&chunk?);
                    Stage::Blob { reader, next }
                }
                None => Stage::Blobs { next },
            },
            Stage::End => {
                piece.extend_from_slice(&self.hash.clone().finalize());
                Stage::Done
            }
            Stage::Done => Stage::Done,
        })
    }

    fn begin(&self, digest: &Digest, piece: &mut Vec<u8>) -> io::Result<Box<BlobReader>> {
        let gone = || io::Error::new(io::ErrorKind::NotFound, format!("the blob {digest} is not on this node"));
        let reader = self.store.reader(digest)?.ok_or_else(gone)?;
        let mut head = digest.0.to_vec();
        head.extend_from_slice(&reader.length().to_le_bytes());
        piece.extend_from_slice(&with_checksum(head));
        Ok(Box::new(reader))
    }
}

impl Iterator for ArchivePieces {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut piece = Vec::new();
        while piece.len() < PIECE_BYTES && !matches!(self.stage, Stage::Done) {
            let start = piece.len();
            match self.step(&mut piece) {
                Ok(stage) => self.stage = stage,
                // Nothing comes after it: the stage is the last one.
                Err(error) => return Some(Err(error)),
            }
            self.hash.update(&piece[start..]);
        }
        (!piece.is_empty()).then_some(Ok(piece))
    }
}
