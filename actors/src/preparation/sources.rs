//! The program's own files: a run goes on only with those it started with. Anything else would be a silent mixture.

use std::collections::BTreeMap;

use dspex_model::{Digest, RunSpec};

use crate::context::NodeContext;
use crate::error::{SubmitError, SubmitErrorKind};

/// Stores {path: sha256} as a blob.
pub(super) async fn store(context: &NodeContext, sources: &BTreeMap<String, String>) -> Result<Digest, SubmitError> {
    let json = serde_json::to_vec(sources).map_err(|error| SubmitError::new(SubmitErrorKind::Internal, error))?;
    let blobs = context.parts.blobs.clone();
    let stored = tokio::task::spawn_blocking(move || blobs.put(&json)).await;
    stored
        .map_err(|error| SubmitError::new(SubmitErrorKind::Internal, error))?
        .map_err(|error| SubmitError::new(SubmitErrorKind::Unavailable, error))
}

/// Refuses when a file of the run has changed or is gone, naming it.
pub(super) async fn unchanged(context: &NodeContext, spec: &RunSpec) -> Result<(), SubmitError> {
    let blobs = context.parts.blobs.clone();
    let digest = spec.sources;
    let compared = tokio::task::spawn_blocking(move || {
        let json = blobs.get(&digest)?.ok_or_else(|| std::io::Error::other("the list of the run's files is gone"))?;
        let sources: BTreeMap<String, String> = serde_json::from_slice(&json)?;
        let differs = |(path, known): &(String, String)| {
            std::fs::read(path).map_or(true, |bytes| Digest::of(&bytes).to_string() != *known)
        };
        Ok::<Vec<String>, std::io::Error>(sources.into_iter().filter(differs).map(|(path, _)| path).collect())
    });
    let changed = compared
        .await
        .map_err(|error| SubmitError::new(SubmitErrorKind::Internal, error))?
        .map_err(|error| SubmitError::new(SubmitErrorKind::Unavailable, error))?;
    if changed.is_empty() {
        return Ok(());
    }
    let message = format!(
        "these files changed since the run started: {}. Its results would be a mixture: put them back, or start a new run",
        changed.join(", ")
    );
    Err(SubmitError::new(SubmitErrorKind::SourcesChanged, message))
}
