//! Blobs that arrive from peers in pieces. Until the last piece has come and the whole fits its digest, there is nothing.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dspex_model::Digest;
use dspex_storage::{BlobStore, BlobWriter};

use super::KEEP;

/// Blobs of more than one piece that may arrive at once; a sender beyond it tries again.
const ARRIVING_MAX: usize = 64;

/// A blob whose next piece does not come makes way.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(60);

/// What is arriving; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Incoming {
    store: BlobStore,
    arriving: Arc<Mutex<HashMap<Digest, Arriving>>>,
}

#[derive(Debug)]
struct Arriving {
    writer: BlobWriter,
    touched: Instant,
}

impl Incoming {
    pub(crate) fn new(store: BlobStore) -> Self {
        Self { store, arriving: Arc::default() }
    }

    pub(crate) fn store(&self) -> &BlobStore {
        &self.store
    }

    /// Takes a piece; with the last one the blob is stored and synced when this returns. It blocks.
    ///
    /// # Errors
    /// When a piece before it is missing, or the whole is not what its digest says.
    pub(crate) fn take(&self, digest: Digest, length: u64, offset: u64, piece: &[u8]) -> io::Result<()> {
        self.store.pin(digest, KEEP);
        let writer = if offset == 0 { Some(self.store.writer()) } else { self.take_out(&digest) };
        let Some(mut writer) = writer.filter(|writer| writer.length() == offset) else {
            return Err(io::Error::other(format!(
                "the piece at {offset} of blob {digest} comes without those before it"
            )));
        };
        writer.write(piece)?;
        if writer.length() < length {
            return self.put_back(digest, writer);
        }
        let found = writer.finish()?;
        if found == digest {
            return Ok(());
        }
        // Nobody refers to it.
        self.store.delete_many(&[found])?;
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("blob {digest} arrived as {found}")))
    }

    fn take_out(&self, digest: &Digest) -> Option<BlobWriter> {
        let mut arriving = self.arriving.lock().unwrap_or_else(PoisonError::into_inner);
        arriving.remove(digest).map(|arriving| arriving.writer)
    }

    fn put_back(&self, digest: Digest, writer: BlobWriter) -> io::Result<()> {
        let mut arriving = self.arriving.lock().unwrap_or_else(PoisonError::into_inner);
        arriving.retain(|_, other| other.touched.elapsed() < GIVEN_UP_AFTER);
        if arriving.len() >= ARRIVING_MAX {
            return Err(io::Error::other(format!("{ARRIVING_MAX} blobs are arriving already; try again")));
        }
        arriving.insert(digest, Arriving { writer, touched: Instant::now() });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use dspex_storage::{DataDirectory, Options};

    use super::*;

    #[test]
    fn a_blob_is_stored_when_its_last_piece_has_come_and_it_is_what_it_should_be() {
        let directory = tempfile::tempdir().expect("a directory");
        let data = DataDirectory::open(directory.path(), &Options::embedded()).expect("the directory opens");
        let incoming = Incoming::new(data.blobs().clone());
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
        let (digest, length) = (Digest::of(&bytes), bytes.len() as u64);
        let (first, rest) = bytes.split_at(1 << 20);
        let (second, third) = rest.split_at(1 << 20);
        let (at_second, at_third) = (1 << 20, 2 << 20);
        incoming.take(digest, length, at_second, second).expect_err("the first piece is missing");
        incoming.take(digest, length, 0, first).expect("taken");
        incoming.take(digest, length, at_third, third).expect_err("the second piece is missing");
        // An attempt that failed is begun anew.
        incoming.take(digest, length, 0, first).expect("taken");
        incoming.take(digest, length, at_second, second).expect("taken");
        assert_eq!(data.blobs().get(&digest).expect("readable"), None);
        incoming.take(digest, length, at_third, third).expect("taken");
        assert_eq!(data.blobs().get(&digest).expect("readable"), Some(bytes));

        let wrong = Digest::of(b"something else");
        incoming.take(wrong, 5, 0, b"bytes").expect_err("it is not what it should be");
        assert_eq!(data.blobs().digests().expect("readable"), [digest]);
    }
}
