//! A run's results, read in batches from the state and the blobs.

use std::io;
use std::sync::Arc;

use dspex_api::v1::{self, ExampleResult, Failure, ResultBatch, RunResultsRequest};
use dspex_model::{Digest, RunId, ScoreKind};
use dspex_storage::BlobStore;
use futures::Stream;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::Node;
use super::errors::storage;

/// Results in one message.
const BATCH: usize = 256;
/// A batch with long predictions is sent earlier.
const BATCH_BYTES: usize = 4 << 20;

/// Results in example order.
pub(super) fn batches(
    node: Arc<Node>,
    run: RunId,
    request: RunResultsRequest,
) -> impl Stream<Item = Result<ResultBatch, Status>> {
    let (sender, receiver) = mpsc::channel(4);
    tokio::task::spawn_blocking(move || {
        let _call = node.activity.enter();
        if let Err(error) = read(&node, run, &request, &sender) {
            // A reader that is gone does not hear it.
            let _ = sender.blocking_send(Err(storage(&error)));
        }
    });
    ReceiverStream::new(receiver)
}

fn read(
    node: &Node,
    run: RunId,
    request: &RunResultsRequest,
    sender: &mpsc::Sender<Result<ResultBatch, Status>>,
) -> io::Result<()> {
    let Some(held) = node.consensus.read_stale(|state| state.run(run).cloned()) else { return Ok(()) };
    let rows = if request.full { node.blobs.get(&held.spec.dataset.digest)?.unwrap_or_default() } else { Vec::new() };
    let mut lines = rows.split(|byte| *byte == b'\n');
    let (mut results, mut bytes) = (Vec::new(), 0);
    for (index, result) in (0u32..).zip(&held.results) {
        let row = lines.next().unwrap_or_default();
        let Some(result) = result else { continue };
        if request.failed_only && result.failure.is_none() {
            continue;
        }
        let mut shown = ExampleResult {
            index,
            score: result.score.value,
            duration_us: result.duration_us,
            attempt: result.attempt,
            score_kind: score_kind(result.score.kind).into(),
            ..ExampleResult::default()
        };
        if request.full {
            shown.example = example(row).into();
            let prediction = result.prediction.map(|digest| blob(&node.blobs, digest)).transpose()?;
            shown.prediction = prediction.unwrap_or_default().into();
        }
        if let Some(failure) = &result.failure {
            shown.failure = Some(describe(&failure.class, &blob(&node.blobs, failure.detail)?));
        }
        bytes += shown.example.len() + shown.prediction.len();
        results.push(shown);
        if results.len() >= BATCH || bytes >= BATCH_BYTES {
            bytes = 0;
            let batch = ResultBatch { results: std::mem::take(&mut results) };
            if sender.blocking_send(Ok(batch)).is_err() {
                return Ok(());
            }
        }
    }
    // The last batch may be empty: then nothing was asked for that exists.
    let _ = sender.blocking_send(Ok(ResultBatch { results }));
    Ok(())
}

fn blob(blobs: &BlobStore, digest: Digest) -> io::Result<Vec<u8>> {
    blobs.get(&digest)?.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("blob {digest} is gone")))
}

/// The fields of a stored row. Rows of Python datasets wrap them; what was pickled is opened in Python only.
fn example(row: &[u8]) -> Vec<u8> {
    if !row.starts_with(b"{\"$") {
        return row.to_vec();
    }
    match serde_json::from_slice::<Value>(row) {
        Ok(Value::Object(mut wrapped)) => match wrapped.remove("$fields") {
            Some(fields) => fields.to_string().into_bytes(),
            None => br#"{"$pickled":true}"#.to_vec(),
        },
        _ => row.to_vec(),
    }
}

fn describe(class: &str, detail: &[u8]) -> Failure {
    let detail: Value = serde_json::from_slice(detail).unwrap_or(Value::Null);
    let text = |name: &str| detail[name].as_str().unwrap_or_default().to_owned();
    let named = text("type");
    Failure {
        r#type: if named.is_empty() { class.to_owned() } else { named },
        message: text("message"),
        traceback: text("traceback"),
        file: text("file"),
        line: detail["line"].as_u64().and_then(|line| u32::try_from(line).ok()).unwrap_or_default(),
        worker: text("worker"),
        node: detail["node"].as_u64().unwrap_or_default(),
        output_tail: text("output_tail"),
    }
}

fn score_kind(kind: ScoreKind) -> v1::ScoreKind {
    match kind {
        ScoreKind::Integer => v1::ScoreKind::Integer,
        ScoreKind::Boolean => v1::ScoreKind::Boolean,
        ScoreKind::Float | ScoreKind::Object => v1::ScoreKind::Unspecified,
    }
}
