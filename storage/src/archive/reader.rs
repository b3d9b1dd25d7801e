//! Reads an archive from its beginning to its end, in order, verifying everything; one piece of it is in memory.
//!
//! What is damaged is an error of the kind `InvalidData`, what a newer version wrote one of the kind `Unsupported`.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use dspex_model::Digest;
use sha2::{Digest as _, Sha256};

use super::{ARCHIVE_VERSION, ArchiveHeader, HEADER_BYTES_MAX, MAGIC};
use crate::blob_store::CHUNK_BYTES;
use crate::error::corrupt;
use crate::hashing::{DIGEST, Hashing};
use crate::snapshot_file::{self, SnapshotHeader};

type Source = Hashing<BufReader<File>>;

/// An archive of which the header was read. Nothing that it says is certain before [`ArchiveBlobs::read`] has returned `Ok`.
pub struct ArchiveReader {
    source: Source,
    header: ArchiveHeader,
}

/// An archive of which the state was read.
pub struct ArchiveBlobs {
    source: Source,
}

/// A part of a blob, in order. The last part comes only if the whole matches the digest; an empty blob has one part.
#[derive(Debug)]
pub struct BlobPiece<'a> {
    /// Names the blob.
    pub digest: Digest,
    /// Of the whole blob.
    pub length: u64,
    /// Where these bytes stand in it.
    pub offset: u64,
    /// At most 1 MiB.
    pub bytes: &'a [u8],
}

/// What is known of an archive that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveEnd {
    /// How many blobs it holds.
    pub blobs: u64,
    /// The bytes of the blobs.
    pub blob_bytes: u64,
    /// The bytes of the archive.
    pub bytes: u64,
    /// sha256 of all but the last 32 bytes, which hold it.
    pub digest: Digest,
}

impl std::fmt::Debug for ArchiveReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArchiveReader").field("header", &self.header).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ArchiveBlobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArchiveBlobs").field("read", &self.source.count()).finish_non_exhaustive()
    }
}

impl BlobPiece<'_> {
    /// Whether the blob ends with it.
    pub fn is_last(&self) -> bool {
        self.offset + self.bytes.len() as u64 == self.length
    }
}

impl ArchiveReader {
    /// Opens an archive and reads its header.
    ///
    /// # Errors
    /// When it cannot be read, is no archive, or of a newer version.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut source = Hashing::new("the snapshot", BufReader::with_capacity(1 << 20, File::open(path)?));
        if source.array::<8>()? != *MAGIC {
            return Err(corrupt("it does not begin as a snapshot that `dspex snapshot save` has written"));
        }
        let version = u16::from_le_bytes(source.array()?);
        if version > ARCHIVE_VERSION {
            let detail =
                format!("its format is {version}, this program reads up to {ARCHIVE_VERSION}: use a newer dspex");
            return Err(io::Error::new(io::ErrorKind::Unsupported, detail));
        }
        if version != ARCHIVE_VERSION {
            return Err(corrupt(format!("the format {version} is unknown")));
        }
        source.goes_on_with("the snapshot's header");
        let length: [u8; 4] = source.array()?;
        let text = source.piece(u32::from_le_bytes(length), HEADER_BYTES_MAX)?;
        let sum = crc32c::crc32c_append(crc32c::crc32c(&length), &text);
        if source.number()? != sum {
            return Err(corrupt("the snapshot's header fails its checksum"));
        }
        let text = String::from_utf8(text).map_err(|_| corrupt("the snapshot's header is no text"))?;
        Ok(Self { header: ArchiveHeader::parse(&text)?, source })
    }

    /// What it says of itself.
    pub fn header(&self) -> &ArchiveHeader {
        &self.header
    }

    /// Reads and verifies the state, pair by pair.
    ///
    /// # Errors
    /// When it is damaged, or `visit` fails.
    pub fn state(
        mut self,
        visit: impl FnMut(&[u8], &[u8]) -> io::Result<()>,
    ) -> io::Result<(SnapshotHeader, ArchiveBlobs)> {
        let length = number(&mut self.source, "the length of the snapshot's state")?;
        let header = snapshot_file::read(self.source.by_ref().take(length), visit)?;
        Ok((header, ArchiveBlobs { source: self.source }))
    }
}

impl ArchiveBlobs {
    /// Reads and verifies the blobs, piece by piece, and the end of the archive.
    ///
    /// # Errors
    /// When something is damaged, or `visit` fails.
    pub fn read(mut self, mut visit: impl FnMut(&BlobPiece<'_>) -> io::Result<()>) -> io::Result<ArchiveEnd> {
        let blobs = number(&mut self.source, "the snapshot's number of blobs")?;
        self.source.goes_on_with("the snapshot's blobs");
        let mut blob_bytes = 0;
        let mut before = None;
        let mut buffer = vec![0; CHUNK_BYTES];
        for place in 0..blobs {
            let (digest, length) = blob_head(&mut self.source, place)?;
            if before.is_some_and(|before| before >= digest) {
                return Err(corrupt(format!("blob {digest} stands in the wrong place of the snapshot")));
            }
            before = Some(digest);
            blob(&mut self.source, digest, length, &mut buffer, &mut visit)?;
            blob_bytes += length;
        }
        self.source.goes_on_with("the snapshot as a whole");
        let bytes = self.source.count() + DIGEST as u64;
        let digest = Digest(self.source.finish()?);
        Ok(ArchiveEnd { blobs, blob_bytes, bytes, digest })
    }
}

/// A number, and its checksum after it.
fn number(source: &mut Source, what: &'static str) -> io::Result<u64> {
    source.goes_on_with(what);
    let bytes: [u8; 8] = source.array()?;
    if source.number()? != crc32c::crc32c(&bytes) {
        return Err(corrupt(format!("{what} fails its checksum")));
    }
    Ok(u64::from_le_bytes(bytes))
}

fn blob_head(source: &mut Source, place: u64) -> io::Result<(Digest, u64)> {
    let digest: [u8; DIGEST] = source.array()?;
    let length: [u8; 8] = source.array()?;
    if source.number()? != crc32c::crc32c_append(crc32c::crc32c(&digest), &length) {
        return Err(corrupt(format!("the head of blob number {place} in the snapshot fails its checksum")));
    }
    Ok((Digest(digest), u64::from_le_bytes(length)))
}

fn blob(
    source: &mut Source,
    digest: Digest,
    length: u64,
    buffer: &mut [u8],
    visit: &mut impl FnMut(&BlobPiece<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut hash = Sha256::new();
    let mut offset = 0;
    loop {
        let size = usize::try_from(length - offset).unwrap_or(usize::MAX).min(buffer.len());
        source.fill(&mut buffer[..size])?;
        hash.update(&buffer[..size]);
        let piece = BlobPiece { digest, length, offset, bytes: &buffer[..size] };
        if piece.is_last() {
            if hash.finalize()[..] != digest.0[..] {
                return Err(corrupt(format!("blob {digest} in the snapshot does not match its digest")));
            }
            return visit(&piece);
        }
        visit(&piece)?;
        offset += size as u64;
    }
}
