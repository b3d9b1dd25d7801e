//! `dspex snapshot save`: from a node to a file, which has its name when it is complete.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dspex_api::v1::{SnapshotChunk, SnapshotFacts};
use dspex_api::{ApiError, Streaming, reason};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use tokio::time::timeout;

use crate::error::CommandError;
use crate::exit;
use crate::freshness::Freshness;
use crate::interrupt::Interrupts;
use crate::invocation::Invocation;
use crate::listing;

/// For the next piece: the node reads it from its disk.
const PIECE_LIMIT: Duration = Duration::from_secs(60);

/// The bytes of a digest, with which the file ends.
const DIGEST_BYTES: usize = 32;

/// Saves.
pub async fn execute(invocation: &Invocation, file: &Path, read: Freshness) -> Result<u8, CommandError> {
    let interrupts = Interrupts::listen()?;
    let target = Target::of(file)?;
    let saving = async {
        let client = invocation.node().await?;
        let stream = client.save_snapshot(read.wire()).await.map_err(|error| refusal(read, error))?;
        target.fill(stream).await
    };
    let (facts, bytes, digest) = tokio::select! {
        saved = saving => saved?,
        // What was written is removed.
        () = interrupts.asked() => return Ok(exit::INTERRUPTED),
    };
    if !facts.confirmed {
        invocation.console.warning("no quorum has confirmed it: what others have acknowledged may be missing");
    }
    listing::show(object(file, &facts, bytes, &digest), invocation.format)?;
    Ok(exit::OK)
}

fn refusal(read: Freshness, error: ApiError) -> CommandError {
    let error = CommandError::from(error);
    match error.reason.as_ref() {
        reason::NO_LEADER | reason::NODE_BEHIND if read != Freshness::Stale => error
            .hint("dspex cluster status shows who does not answer; --read stale saves what the node that is asked has"),
        _ => error,
    }
}

fn object(file: &Path, facts: &SnapshotFacts, bytes: u64, digest: &str) -> Value {
    let cluster = Some(&facts.cluster_id).filter(|id| !id.is_empty());
    json!({
        "file": file.display().to_string(),
        "cluster_id": cluster,
        "node_id": facts.node_id,
        "term": facts.term,
        "index": facts.index,
        "confirmed": facts.confirmed,
        "log_time_unix_ms": facts.log_time_unix_ms,
        "blobs": facts.blobs,
        "bytes": bytes,
        "sha256": digest,
    })
}

/// A file that does not exist yet.
struct Target {
    path: PathBuf,
    directory: PathBuf,
}

impl Target {
    /// A snapshot is never put in the place of another file: that may be the last one that is whole.
    fn of(file: &Path) -> Result<Self, CommandError> {
        let shown = file.display();
        let path = std::path::absolute(file)?;
        let directory = match (path.parent(), path.file_name()) {
            (Some(parent), Some(_)) if !path.is_dir() => parent.to_path_buf(),
            _ => return Err(CommandError::usage(format!("{shown} is a directory: name a file"))),
        };
        if !directory.is_dir() {
            return Err(CommandError::usage(format!("{shown}: there is no directory {}", directory.display())));
        }
        if path.symlink_metadata().is_ok() {
            return Err(CommandError::usage(format!("{shown} is there already")).hint(
                "name a new file, with the date for example; remove old ones when the new one has been inspected",
            ));
        }
        Ok(Self { path, directory })
    }

    /// Gives what the node said, how much there is, and the digest of it.
    async fn fill(&self, mut stream: Streaming<SnapshotChunk>) -> Result<(SnapshotFacts, u64, String), CommandError> {
        let failed = |error: std::io::Error| self.failed(&error);
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        // Mode 0600; whatever ends this command, it never has the name of a whole one.
        let mut part = tempfile::Builder::new()
            .prefix(&format!(".{name}."))
            .suffix(".part")
            .tempfile_in(&self.directory)
            .map_err(failed)?;
        let (mut checked, mut facts, mut is_whole) = (Checked::default(), SnapshotFacts::default(), false);
        while let Some(chunk) = next(&mut stream).await? {
            facts = chunk.facts.unwrap_or(facts);
            part.write_all(&chunk.data).map_err(failed)?;
            checked.add(&chunk.data);
            is_whole = chunk.end;
        }
        let bytes = checked.bytes;
        let digest = checked.digest().filter(|_| is_whole).ok_or_else(cut)?;
        self.keep(part).map_err(failed)?;
        Ok((facts, bytes, digest))
    }

    fn keep(&self, part: NamedTempFile) -> std::io::Result<()> {
        part.as_file().sync_all()?;
        part.persist_noclobber(&self.path).map_err(|error| error.error)?;
        File::open(&self.directory)?.sync_all()
    }

    fn failed(&self, error: &std::io::Error) -> CommandError {
        let message = format!("the snapshot cannot be saved to {}: {error}", self.path.display());
        CommandError::new(exit::FAILED, message)
    }
}

async fn next(stream: &mut Streaming<SnapshotChunk>) -> Result<Option<SnapshotChunk>, CommandError> {
    match timeout(PIECE_LIMIT, stream.message()).await {
        Ok(Ok(chunk)) => Ok(chunk),
        Ok(Err(status)) => Err(ApiError::from(status).into()),
        Err(_) => {
            let message = format!("the node sent nothing more of the snapshot for {} s", PIECE_LIMIT.as_secs());
            Err(CommandError::because(reason::NODE_TIMED_OUT, message))
        }
    }
}

fn cut() -> CommandError {
    let message = "the snapshot did not arrive whole, and nothing was saved: the node has ended, or given up";
    CommandError::because(reason::NODE_UNREACHABLE, message).hint("try again, at another node for example")
}

/// Compares what arrives with the digest at its end.
#[derive(Default)]
struct Checked {
    hash: Sha256,
    /// What may be the digest.
    tail: Vec<u8>,
    bytes: u64,
}

impl Checked {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.tail.extend_from_slice(bytes);
        let certain = self.tail.len().saturating_sub(DIGEST_BYTES);
        self.hash.update(&self.tail[..certain]);
        self.tail.drain(..certain);
    }

    /// The digest of all but the end, if the end says the same.
    fn digest(self) -> Option<String> {
        let computed = self.hash.finalize();
        let hex = || computed.iter().map(|byte| format!("{byte:02x}")).collect();
        (computed[..] == self.tail[..]).then(hex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(pieces: &[&[u8]]) -> Option<String> {
        let mut checked = Checked::default();
        pieces.iter().for_each(|piece| checked.add(piece));
        checked.digest()
    }

    #[test]
    fn bytes_are_whole_when_they_end_with_the_digest_of_what_is_before() {
        let (bytes, end): (&[u8], _) = (b"bytes", Sha256::digest(b"bytes"));
        let (first, second) = end.split_at(9);
        let (byt, es) = bytes.split_at(3);
        assert!(digest(&[byt, es, &[], first, second]).is_some_and(|hex| hex.starts_with("277089d9")));
        for broken in [&[byt, first, second][..], &[bytes, first], &[bytes], &[], &[bytes, first, second, es]] {
            assert_eq!(digest(broken), None);
        }
    }

    #[test]
    fn a_snapshot_takes_no_other_files_place() {
        let directory = tempfile::tempdir().expect("a directory");
        let there = directory.path().join("there");
        std::fs::write(&there, "x").expect("written");
        let refused = |path: &Path| Target::of(path).err().expect("refused");
        assert!(refused(&there).message.contains("is there already"));
        assert!(refused(directory.path()).message.contains("is a directory"));
        assert!(refused(&directory.path().join("a/b")).message.contains("there is no directory"));
        assert!(Target::of(&directory.path().join("new")).is_ok());
    }
}
