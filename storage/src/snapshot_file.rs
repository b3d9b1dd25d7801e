//! A snapshot of the state as one file.
//!
//! ```text
//! "DSPXSNAP" | version u16 | applied | membership        (each: u32 length, 0xFFFFFFFF for none, then the bytes)
//! crc32c u32 | key length u32 | value length u32 | key | value          one record a pair, in key order
//! 0xFFFFFFFF as key length ends the records: crc32c u32 | 0xFFFFFFFF u32 | number of records u32
//! sha256 of everything before it                                        32 bytes
//! ```
//! All numbers are little endian. A record's checksum finds the damaged spot, the digest the missing one.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::durable_file;
use crate::error::corrupt;
use crate::hashing::{DIGEST, Hashing};

const MAGIC: &[u8; 8] = b"DSPXSNAP";
const VERSION: u16 = 1;
const NONE: u32 = u32::MAX;
const END: u32 = u32::MAX;
/// No key or value of the state comes near it; a damaged length must not allocate the machine's memory.
const LONGEST: u32 = 64 * 1024 * 1024;
/// What is read, for errors.
const WHAT: &str = "the snapshot";

/// What a snapshot says about itself, as opaque as in the state store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SnapshotHeader {
    /// The position that the state belongs to.
    pub applied: Option<Vec<u8>>,
    /// The membership at that position.
    pub membership: Option<Vec<u8>>,
}

/// A snapshot file. It stays readable while it is held, even when a newer one replaces it.
#[derive(Debug)]
pub struct SnapshotFile {
    path: PathBuf,
    file: File,
}

impl SnapshotFile {
    /// Opens a snapshot file; nothing is verified yet.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_path_buf(), file: File::open(path)? })
    }

    /// Where it is, or was.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A second handle to the same file.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { path: self.path.clone(), file: self.file.try_clone()? })
    }

    /// A reader of the raw bytes from the start, independent of all others.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn raw(&self) -> io::Result<impl Read + use<>> {
        Ok(Positioned { file: self.file.try_clone()?, offset: 0 })
    }

    /// Its size in bytes.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// The digest that it ends with. Nothing is verified.
    ///
    /// # Errors
    /// When it is too short to have one.
    pub fn digest(&self) -> io::Result<[u8; DIGEST]> {
        let start = self.length()?.checked_sub(DIGEST as u64).ok_or_else(|| corrupt("the snapshot is cut short"))?;
        let mut digest = [0; DIGEST];
        self.file.read_exact_at(&mut digest, start)?;
        Ok(digest)
    }

    /// `size` bytes from `offset` on.
    ///
    /// # Errors
    /// When they are not all there.
    pub fn piece(&self, offset: u64, size: u64) -> io::Result<Vec<u8>> {
        let mut piece = vec![0; usize::try_from(size).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut piece, offset)?;
        Ok(piece)
    }

    /// Reads the header only.
    ///
    /// # Errors
    /// When the file is no snapshot or of a newer version.
    pub fn header(&self) -> io::Result<SnapshotHeader> {
        read_header(&mut Hashing::new(WHAT, BufReader::new(self.raw()?)))
    }

    /// Reads and verifies everything. Nothing handed to `visit` may be trusted before this has returned `Ok`.
    ///
    /// # Errors
    /// When the file is damaged, cut short or of a newer version, or when `visit` fails.
    pub fn read(&self, visit: impl FnMut(&[u8], &[u8]) -> io::Result<()>) -> io::Result<SnapshotHeader> {
        read(BufReader::with_capacity(1 << 20, self.raw()?), visit)
    }
}

/// Reads and verifies a snapshot to its last byte, which must be the reader's last one.
pub(crate) fn read(
    reader: impl Read,
    mut visit: impl FnMut(&[u8], &[u8]) -> io::Result<()>,
) -> io::Result<SnapshotHeader> {
    let mut reader = Hashing::new(WHAT, reader);
    let header = read_header(&mut reader)?;
    let mut records: u32 = 0;
    loop {
        let stored = reader.number()?;
        let key_length = reader.number()?;
        let second = reader.number()?;
        if key_length == END {
            if second != records || stored != crc32c::crc32c(&second.to_le_bytes()) {
                return Err(corrupt("the snapshot's end does not match its records"));
            }
            break;
        }
        let key = reader.piece(key_length, LONGEST)?;
        let value = reader.piece(second, LONGEST)?;
        if stored != checksum(&key, &value) {
            return Err(corrupt(format!("snapshot record {records} fails its checksum")));
        }
        visit(&key, &value)?;
        records += 1;
    }
    reader.finish()?;
    Ok(header)
}

/// Writes a snapshot file.
pub(crate) struct SnapshotWriter {
    file: BufWriter<File>,
    hash: Sha256,
    records: u32,
}

impl SnapshotWriter {
    pub(crate) fn create(path: &Path, header: &SnapshotHeader) -> io::Result<Self> {
        let file = BufWriter::with_capacity(1 << 20, durable_file::create(path)?);
        let mut writer = Self { file, hash: Sha256::new(), records: 0 };
        writer.put(MAGIC)?;
        writer.put(&VERSION.to_le_bytes())?;
        for field in [&header.applied, &header.membership] {
            match field {
                None => writer.put(&NONE.to_le_bytes())?,
                Some(bytes) => {
                    writer.put(&length(bytes)?.to_le_bytes())?;
                    writer.put(bytes)?;
                }
            }
        }
        Ok(writer)
    }

    pub(crate) fn write(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.put(&checksum(key, value).to_le_bytes())?;
        self.put(&length(key)?.to_le_bytes())?;
        self.put(&length(value)?.to_le_bytes())?;
        self.put(key)?;
        self.put(value)?;
        self.records += 1;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        let records = self.records.to_le_bytes();
        self.put(&crc32c::crc32c(&records).to_le_bytes())?;
        self.put(&END.to_le_bytes())?;
        self.put(&records)?;
        let digest = self.hash.clone().finalize();
        self.file.write_all(&digest)?;
        self.file.flush()?;
        self.file.get_ref().sync_all()
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.file.write_all(bytes)
    }
}

fn length(bytes: &[u8]) -> io::Result<u32> {
    u32::try_from(bytes.len())
        .ok()
        .filter(|length| *length <= LONGEST)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a value is too long for a snapshot"))
}

fn checksum(key: &[u8], value: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), value)
}

fn read_header(reader: &mut Hashing<impl Read>) -> io::Result<SnapshotHeader> {
    let mut start = [0; 10];
    reader.fill(&mut start)?;
    if start[..8] != MAGIC[..] {
        return Err(corrupt("not a snapshot file"));
    }
    let version = u16::from_le_bytes([start[8], start[9]]);
    if version != VERSION {
        return Err(corrupt(format!("snapshot version {version} is unknown, this version reads {VERSION}")));
    }
    Ok(SnapshotHeader { applied: read_field(reader)?, membership: read_field(reader)? })
}

fn read_field(reader: &mut Hashing<impl Read>) -> io::Result<Option<Vec<u8>>> {
    match reader.number()? {
        NONE => Ok(None),
        length => reader.piece(length, LONGEST).map(Some),
    }
}

/// Reads from a position of its own, so that clones of one descriptor do not disturb each other.
struct Positioned {
    file: File,
    offset: u64,
}

impl Read for Positioned {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}
