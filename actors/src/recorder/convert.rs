//! From a worker's results to what is stored: blobs, and commands that name them.

use std::collections::BTreeMap;

use dspex_model::{Digest, ExampleResult, FailureReference, NodeId, RecordedResult, Score, ScoreKind, UsageEntry};
use dspex_python::protocol::{self, ExampleFailure};
use serde_json::json;

use super::Recording;
use crate::container;

/// A command's results take at most this; with its envelope it stays below the limit of a log entry.
const COMMAND_BYTES: usize = 48 * 1024;
/// Exception classes are names; a longer one is cut in the log and whole in its blob.
const CLASS_BYTES: usize = 200;

/// Blobs to store, then results by command with their table of names.
#[derive(Debug, Default)]
pub(super) struct Converted {
    pub blobs: Vec<Vec<u8>>,
    pub proposals: Vec<(Vec<String>, Vec<RecordedResult>)>,
}

pub(super) fn convert(recordings: Vec<Recording>, node: NodeId) -> Converted {
    let mut converted = Converted::default();
    let mut command = Batch::default();
    for recording in recordings {
        let result = stored_result(&recording, node, &mut converted.blobs);
        let size = 160 + result.failure.as_ref().map_or(0, |failure| failure.class.len());
        let usage = recording.result.usage.unwrap_or_default();
        let usage_size: usize = usage.iter().map(|(model, kinds)| model.len() + kinds.len() * 32).sum();
        if command.bytes + size + usage_size > COMMAND_BYTES {
            converted.proposals.push(std::mem::take(&mut command).close());
        }
        command.bytes += size + usage_size;
        let usage = command.usage(&usage);
        let index = u32::try_from(recording.result.index).unwrap_or(u32::MAX);
        let cost_nanousd = recording.result.cost_usd.map(|cost| (cost.max(0.0) * 1e9).round() as u64);
        command.results.push(RecordedResult { index, result, usage, cost_nanousd });
    }
    if !command.results.is_empty() {
        converted.proposals.push(command.close());
    }
    converted
}

#[derive(Debug, Default)]
struct Batch {
    names: BTreeMap<String, u16>,
    results: Vec<RecordedResult>,
    bytes: usize,
}

impl Batch {
    fn name(&mut self, name: &str) -> Option<u16> {
        if let Some(&known) = self.names.get(name) {
            return Some(known);
        }
        let position = u16::try_from(self.names.len()).ok()?;
        self.names.insert(name.to_owned(), position);
        Some(position)
    }

    fn usage(&mut self, usage: &BTreeMap<String, BTreeMap<String, i64>>) -> Vec<UsageEntry> {
        let mut entries = Vec::new();
        for (model, kinds) in usage {
            for (kind, &tokens) in kinds {
                let (Some(model), Some(kind)) = (self.name(model), self.name(kind)) else { continue };
                entries.push(UsageEntry { model, kind, tokens: u64::try_from(tokens).unwrap_or(0) });
            }
        }
        entries
    }

    fn close(self) -> (Vec<String>, Vec<RecordedResult>) {
        let mut names: Vec<(String, u16)> = self.names.into_iter().collect();
        names.sort_by_key(|(_, position)| *position);
        (names.into_iter().map(|(name, _)| name).collect(), self.results)
    }
}

fn stored_result(recording: &Recording, node: NodeId, blobs: &mut Vec<Vec<u8>>) -> ExampleResult {
    let result = &recording.result;
    let mut store = |bytes: Vec<u8>| {
        let digest = Digest::of(&bytes);
        blobs.push(bytes);
        digest
    };
    let returned = result.returned.as_deref();
    let prediction = result.prediction.as_ref().map(|json| store(container::join(json.to_vec(), returned)));
    let failure = result.failure.as_ref().map(|failure| FailureReference {
        class: failure.exception[..failure.exception.floor_char_boundary(CLASS_BYTES)].to_owned(),
        detail: store(container::join(failure_json(failure, recording, node), returned)),
    });
    // What was returned to the driver is no part of the result.
    let canonical = result.canonical.as_ref().or(result.prediction.as_ref().filter(|_| returned.is_some()));
    ExampleResult {
        score: Score { value: result.score, kind: score_kind(result.score_kind) },
        attempt: result.attempt,
        duration_us: result.duration_us,
        prediction,
        canonical: canonical.map(|canonical| Digest::of(canonical)),
        failure,
    }
}

fn failure_json(failure: &ExampleFailure, recording: &Recording, node: NodeId) -> Vec<u8> {
    let detail = json!({
        "type": failure.exception,
        "message": failure.message,
        "traceback": failure.traceback,
        "file": failure.file,
        "line": failure.line,
        "worker": recording.worker,
        "node": node.0,
        "output_tail": recording.output_tail,
    });
    detail.to_string().into_bytes()
}

fn score_kind(kind: protocol::ScoreKind) -> ScoreKind {
    match kind {
        protocol::ScoreKind::Integral => ScoreKind::Integer,
        protocol::ScoreKind::Float => ScoreKind::Float,
        protocol::ScoreKind::Object => ScoreKind::Object,
        protocol::ScoreKind::Boolean => ScoreKind::Boolean,
    }
}
