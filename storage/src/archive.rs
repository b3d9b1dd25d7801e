//! The file that `dspex snapshot save` writes: the state at one position of the log, and every blob that it refers to.
//!
//! ```text
//! "DSPXARCH" | version u16
//! header    length u32 | lines "name = value" | crc32c u32 of both
//! state     length u64 | crc32c u32 of it | a snapshot file, see `snapshot_file`
//! blobs     count u64 | crc32c u32 of it
//!           sha256 | length u64 | crc32c u32 of both | the bytes          one a blob, in the order of their digests
//! sha256 of everything before it                                          32 bytes, and nothing after them
//! ```
//! All numbers are little endian. Lengths have checksums of their own, so that a damaged one is told as what it is; the bytes
//! of the state and of a blob have theirs; the digest at the end covers all of it.

mod pieces;
mod reader;

use std::io;
use std::str::FromStr;

use dspex_model::NodeId;

use crate::error::corrupt;

pub use self::pieces::ArchivePieces;
pub use self::reader::{ArchiveBlobs, ArchiveEnd, ArchiveReader, BlobPiece};

const MAGIC: &[u8; 8] = b"DSPXARCH";

/// The version that is written, and the only one that is read.
pub const ARCHIVE_VERSION: u16 = 1;

/// The header is a handful of short lines.
const HEADER_BYTES_MAX: u32 = 4096;

/// Stands for a cluster's id where there is none.
const NO_CLUSTER: &str = "none";

/// What an archive says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveHeader {
    /// The cluster that it was saved from; `None`: a node without one.
    pub cluster_id: Option<String>,
    /// The node that saved it.
    pub node_id: NodeId,
    /// The term of the last entry in the state.
    pub term: u64,
    /// The index of the last entry in the state.
    pub index: u64,
    /// Whether a leader has confirmed that everything acknowledged before is in it. If not, it is what one node had.
    pub is_confirmed: bool,
    /// Log time of the state, in Unix milliseconds.
    pub log_time_ms: u64,
    /// When it was saved, by the clock of the node that did.
    pub saved_ms: u64,
    /// The version of the program that saved it.
    pub program: String,
}

impl ArchiveHeader {
    fn encode(&self) -> Vec<u8> {
        let text = format!(
            "cluster = {}\nnode = {}\nterm = {}\nindex = {}\nconfirmed = {}\nlog_time_ms = {}\nsaved_ms = {}\nprogram = {}\n",
            self.cluster_id.as_deref().unwrap_or(NO_CLUSTER),
            self.node_id,
            self.term,
            self.index,
            self.is_confirmed,
            self.log_time_ms,
            self.saved_ms,
            self.program,
        );
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&ARCHIVE_VERSION.to_le_bytes());
        let mut section = u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
        section.extend_from_slice(text.as_bytes());
        bytes.extend_from_slice(&with_checksum(section));
        bytes
    }

    fn parse(text: &str) -> io::Result<Self> {
        let mut lines = text.lines();
        let header = Self {
            cluster_id: Some(field::<String>(lines.next(), "cluster")?).filter(|id| id != NO_CLUSTER),
            node_id: NodeId(field(lines.next(), "node")?),
            term: field(lines.next(), "term")?,
            index: field(lines.next(), "index")?,
            is_confirmed: field(lines.next(), "confirmed")?,
            log_time_ms: field(lines.next(), "log_time_ms")?,
            saved_ms: field(lines.next(), "saved_ms")?,
            program: field(lines.next(), "program")?,
        };
        match lines.next() {
            None => Ok(header),
            Some(line) => Err(corrupt(format!("the snapshot's header has an unknown line {line:?}"))),
        }
    }
}

fn field<T: FromStr>(line: Option<&str>, name: &str) -> io::Result<T> {
    line.and_then(|line| line.split_once(" = "))
        .filter(|(key, _)| *key == name)
        .and_then(|(_, value)| value.parse().ok())
        .ok_or_else(|| corrupt(format!("the line {name:?} of the snapshot's header is missing or unreadable")))
}

/// The bytes, and their checksum after them.
fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let sum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}
