//! What a snapshot's file holds, read once from its beginning to its end; nothing is believed before that.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use dspex_api::reason;
use dspex_cli::{CommandError, exit};
use dspex_consensus::LogPosition;
use dspex_model::{Digest, State};
use dspex_storage::{ArchiveEnd, ArchiveHeader, ArchiveReader, BlobPiece};

/// A snapshot that is whole, without its blobs.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) header: ArchiveHeader,
    pub(super) state: State,
    pub(super) position: LogPosition,
    pub(super) end: ArchiveEnd,
}

/// Reads and verifies a file; `take` gets the blobs piece by piece.
pub(super) fn read(file: &Path, take: impl FnMut(&BlobPiece<'_>) -> io::Result<()>) -> Result<Contents, CommandError> {
    let archive = ArchiveReader::open(file).map_err(|error| failed(file, None, &error))?;
    let header = archive.header().clone();
    read_on(archive, take).map_err(|error| failed(file, Some(&header), &error))
}

fn read_on(archive: ArchiveReader, mut take: impl FnMut(&BlobPiece<'_>) -> io::Result<()>) -> io::Result<Contents> {
    let header = archive.header().clone();
    let mut state = State::new();
    let (of_state, archive) = archive
        .state(|key, value| state.replay(key, Some(value)).map_err(|error| damaged(format!("its state: {error}"))))?;
    let position = LogPosition::of(&of_state)?;
    let says = (header.term, header.index, header.log_time_ms, header.cluster_id.as_deref());
    let cluster = state.cluster().map(|cluster| cluster.id.as_str());
    if says != (position.term, position.index, state.log_time_ms(), cluster) {
        return Err(damaged("its header is not that of its state"));
    }
    let mut wanted: HashSet<Digest> = state.blobs().collect();
    let end = archive.read(|piece| {
        wanted.remove(&piece.digest);
        take(piece)
    })?;
    match wanted.iter().min() {
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
