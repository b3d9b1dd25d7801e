//! What a snapshot says of itself, and that all of it is there.

use std::io;
use std::path::Path;

use dspex_cli::CommandError;
use dspex_storage::{ARCHIVE_VERSION, BlobPiece};
use serde_json::{Value, json};

use super::contents::{self, Taker};

/// Keeps nothing: that all is there is enough.
struct Passing;

impl Taker for Passing {
    fn record(&mut self, _: &[u8], _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn blob(&mut self, _: &BlobPiece<'_>) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn inspect(file: &Path) -> Result<Value, CommandError> {
    let contents = contents::read(file, &mut Passing)?;
    let (header, state, end) = (&contents.header, &contents.state, &contents.end);
    Ok(json!({
        "file": file.display().to_string(),
        "format": ARCHIVE_VERSION,
        "saved_by": format!("dspex {}", header.program),
        "saved_unix_ms": header.saved_ms,
        "cluster_id": header.cluster_id,
        "node_id": header.node_id.0,
        "term": header.term,
        "index": header.index,
        "confirmed": header.is_confirmed,
        "log_time_unix_ms": header.log_time_ms,
        "sessions": state.sessions_after(None).count(),
        "programs": state.programs().count(),
        "variables": state.variables_held(),
        "runs": state.runs().count(),
        "executions": state.execution_counts().iter().sum::<u64>(),
        "tokens": state.tokens().count(),
        "members": state.nodes().count(),
        "audit_entries": state.audit().count(),
        "blobs": end.blobs,
        "blob_bytes": end.blob_bytes,
        "bytes": end.bytes,
        "sha256": end.digest.to_string(),
    }))
}
