//! A reader that hashes what it reads, and says of what it was reading the end came too early.

use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use crate::error::corrupt;

/// Bytes of a digest.
pub(crate) const DIGEST: usize = 32;

pub(crate) struct Hashing<R> {
    reader: R,
    hash: Sha256,
    count: u64,
    what: &'static str,
}

impl<R: Read> Hashing<R> {
    /// `what` is read, for errors.
    pub(crate) fn new(what: &'static str, reader: R) -> Self {
        Self { reader, hash: Sha256::new(), count: 0, what }
    }

    /// What is read from here on.
    pub(crate) fn goes_on_with(&mut self, what: &'static str) {
        self.what = what;
    }

    /// Bytes read so far.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.reader.read_exact(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => corrupt(format!("{} is cut short", self.what)),
            _ => error,
        })?;
        self.took(buffer);
        Ok(())
    }

    pub(crate) fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn number(&mut self) -> io::Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// As many as a length says, which may be damaged: more than `most` are not believed.
    pub(crate) fn piece(&mut self, length: u32, most: u32) -> io::Result<Vec<u8>> {
        if length > most {
            return Err(corrupt(format!("a length in {} is impossible", self.what)));
        }
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// Compares the digest that comes next, and last, with what was read.
    pub(crate) fn finish(mut self) -> io::Result<[u8; DIGEST]> {
        let computed: [u8; DIGEST] = self.hash.finalize().into();
        let mut stored = [0; DIGEST + 1];
        match read_up_to(&mut self.reader, &mut stored)? {
            DIGEST if stored[..DIGEST] == computed => Ok(computed),
            DIGEST => Err(corrupt(format!("{} fails its digest", self.what))),
            count if count > DIGEST => Err(corrupt(format!("there are bytes after the end of {}", self.what))),
            _ => Err(corrupt(format!("{} is cut short", self.what))),
        }
    }

    fn took(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.count += bytes.len() as u64;
    }
}

/// For a part that is read by a reader of its own.
impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.took(&buffer[..count]);
        Ok(count)
    }
}

fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match reader.read(&mut buffer[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}
