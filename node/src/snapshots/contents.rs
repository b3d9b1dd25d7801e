//! What a snapshot's file holds, read once from its beginning to its end; nothing is believed before that.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use dspex_api::reason;
use dspex_cli::{CommandError, exit};
use dspex_consensus::LogPosition;
use dspex_model::{Outline, State};
use dspex_storage::{ArchiveEnd, ArchiveHeader, ArchiveReader, BlobPiece};

/// A snapshot that is whole, without its blobs.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) header: ArchiveHeader,
    pub(super) state: State,
    pub(super) position: LogPosition,
    pub(super) end: ArchiveEnd,
}

/// Who takes a snapshot's parts as they are read, before any of it is known to be whole.
pub(super) trait Taker {
    /// A record of the state.
    fn record(&mut self, key: &[u8], value: &[u8]) -> io::Result<()>;

    /// A piece of a blob.
    fn blob(&mut self, piece: &BlobPiece<'_>) -> io::Result<()>;
}

/// Reads and verifies a file.
pub(super) fn read(file: &Path, taker: &mut impl Taker) -> Result<Contents, CommandError> {
    let archive = ArchiveReader::open(file).map_err(|error| failed(file, None, &error))?;
    let header = archive.header().clone();
    read_on(archive, taker).map_err(|error| failed(file, Some(&header), &error))
}

fn read_on(archive: ArchiveReader, taker: &mut impl Taker) -> io::Result<Contents> {
    let header = archive.header().clone();
    let (mut state, mut outline) = (State::new(), Outline::default());
    let (of_state, archive) = archive.state(|key, value| {
        let read = state.replay(key, Some(value)).and_then(|()| outline.add(key, value));
        read.map_err(|error| damaged(format!("its state: {error}")))?;
        taker.record(key, value)
    })?;
    let position = LogPosition::of(&of_state)?;
    let says = (header.term, header.index, header.log_time_ms, header.cluster_id.as_deref());
    let cluster = state.cluster().map(|cluster| cluster.id.as_str());
    if says != (position.term, position.index, state.log_time_ms(), cluster) {
        return Err(damaged("its header is not that of its state"));
    }
    let mut wanted: BTreeSet<_> = outline.blobs;
    let end = archive.read(|piece| {
        wanted.remove(&piece.digest);
        taker.blob(piece)
    })?;
    match wanted.first() {
        None => Ok(Contents { header, state, position, end }),
        Some(digest) => {
            let count = wanted.len();
            Err(damaged(format!("{count} blob(s) that its state refers to are not in it, {digest} for one")))
        }
    }
}

fn damaged(detail: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, detail.into())
}

fn failed(file: &Path, header: Option<&ArchiveHeader>, error: &io::Error) -> CommandError {
    let shown = file.display();
    match error.kind() {
        io::ErrorKind::Unsupported => CommandError::because(reason::SNAPSHOT_NEWER, format!("{shown}: {error}")),
        io::ErrorKind::InvalidData => {
            CommandError::because(reason::SNAPSHOT_DAMAGED, format!("{shown} cannot be used: {error}"))
                .hint(hint(header))
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            CommandError::because(reason::STORAGE_FULL, format!("there is no room for what {shown} holds: {error}"))
        }
        io::ErrorKind::NotFound => CommandError::usage(format!("{shown}: {error}")),
        _ => CommandError::new(exit::FAILED, format!("{shown}: {error}")),
    }
}

/// What looks damaged may only be unknown to an older version.
fn hint(header: Option<&ArchiveHeader>) -> String {
    let own = env!("CARGO_PKG_VERSION");
    match header {
        Some(header) if header.program != own => {
            format!(
                "dspex {} has saved it and this is {own}: try that version, or another copy of the file",
                header.program
            )
        }
        _ => "take another copy of the file, or an earlier snapshot".to_owned(),
    }
}
