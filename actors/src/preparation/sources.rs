//! The program's own files: a run goes on only with those it started with. Anything else would be a silent mixture.

use std::collections::BTreeMap;
use std::io;

use dspex_model::{Digest, RunSpec};
use dspex_storage::BlobStore;

use crate::context::NodeContext;
use crate::error::{SubmitError, SubmitErrorKind};

/// Longer files are no sources.
const SOURCE_BYTES_MAX: u64 = 256 << 20;

/// Stores {path: sha256} as a blob.
pub(super) async fn store(context: &NodeContext, sources: &BTreeMap<String, String>) -> Result<Digest, SubmitError> {
    let json = serde_json::to_vec(sources).map_err(|error| SubmitError::new(SubmitErrorKind::Internal, error))?;
    let blobs = context.parts.blobs.clone();
    let stored = tokio::task::spawn_blocking(move || blobs.put(&json)).await;
    Ok(stored.map_err(|error| SubmitError::new(SubmitErrorKind::Internal, error))??)
}

/// The files that a run started with: {path: sha256}.
pub(crate) fn stored(blobs: &BlobStore, digest: &Digest) -> io::Result<BTreeMap<String, String>> {
    let json = blobs.get(digest)?.ok_or_else(|| io::Error::other("the list of the run's files is gone"))?;
    Ok(serde_json::from_slice(&json)?)
}

/// A file of a program. Which one was the worker's word: a device would never end, nor a pipe.
fn read(path: &str) -> io::Result<Vec<u8>> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() || metadata.len() > SOURCE_BYTES_MAX {
        return Err(io::Error::other("no source file"));
    }
    std::fs::read(path)
}

/// Refuses when a file of the run has changed or is gone, naming it.
pub(super) async fn unchanged(context: &NodeContext, spec: &RunSpec) -> Result<(), SubmitError> {
    let blobs = context.parts.blobs.clone();
    let digest = spec.sources;
    let compared = tokio::task::spawn_blocking(move || {
        let sources = stored(&blobs, &digest)?;
        let differs = |(path, known): &(String, String)| {
            read(path).map_or(true, |bytes| Digest::of(&bytes).to_string() != *known)
        };
        Ok::<Vec<String>, io::Error>(sources.into_iter().filter(differs).map(|(path, _)| path).collect())
    });
    let changed = compared.await.map_err(|error| SubmitError::new(SubmitErrorKind::Internal, error))??;
    if changed.is_empty() {
        return Ok(());
    }
    let message = format!(
        "these files changed since the run started: {}. Its results would be a mixture: put them back, or start a new run",
        changed.join(", ")
    );
    Err(SubmitError::new(SubmitErrorKind::SourcesChanged, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_is_not_read() {
        for path in ["/dev/zero", "/dev", "/nonexistent"] {
            assert!(read(path).is_err(), "{path}");
        }
        let own = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        assert!(read(own.to_str().expect("UTF-8")).is_ok());
    }
}
