//! A run's results, read in batches from the state and the blobs.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use dspex_actors::split_returned;
use dspex_api::v1::{self, ExampleResult, Failure, ResultBatch, RunResultsRequest};
use dspex_model::{Digest, ExampleResult as Recorded, RunId, RunStatus, ScoreKind};
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
/// Who follows is told this often at the most.
const GATHER: Duration = Duration::from_millis(10);

/// Results in example order, or as they are recorded.
pub(super) fn batches(
    node: Arc<Node>,
    run: RunId,
    request: RunResultsRequest,
) -> impl Stream<Item = Result<ResultBatch, Status>> {
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(async move {
        let _call = node.activity.enter();
        let mut reading = Reading { node, run, request, sender, sent: Vec::new() };
        if let Err(error) = reading.read().await {
            // A reader that is gone does not hear it.
            let _ = reading.sender.send(Err(storage(&error))).await;
        }
    });
    ReceiverStream::new(receiver)
}

struct Reading {
    node: Arc<Node>,
    run: RunId,
    request: RunResultsRequest,
    sender: mpsc::Sender<Result<ResultBatch, Status>>,
    /// Which examples' results are on their way.
    sent: Vec<bool>,
}

/// Results that are to be sent, and whether more may come.
struct Found {
    results: Vec<(u32, Recorded)>,
    dataset: Digest,
    running: bool,
}

impl Found {
    /// What another node may have to give.
    fn blobs(&self) -> impl Iterator<Item = Digest> {
        let results = self.results.iter().flat_map(|(_, result)| {
            let detail = result.failure.as_ref().map(|failure| failure.detail);
            [result.prediction, detail].into_iter().flatten()
        });
        results.chain([self.dataset])
    }
}

impl Reading {
    async fn read(&mut self) -> io::Result<()> {
        let mut applied = self.node.consensus.watch();
        let mut rows = None;
        loop {
            applied.mark_unchanged();
            let Some(found) = self.find() else { return Ok(()) };
            let goes_on = self.request.follow && found.running;
            if !found.results.is_empty() || !goes_on {
                self.node.consensus.obtain(found.blobs()).await.map_err(io::Error::other)?;
                let (blobs, request, sender) = (self.node.blobs.clone(), self.request.clone(), self.sender.clone());
                let held = rows.take();
                let sending = tokio::task::spawn_blocking(move || {
                    let rows = match held {
                        Some(rows) => rows,
                        None => Rows::of(&blobs, &request, found.dataset)?,
                    };
                    send(&blobs, &rows, &request, found.results, &sender).map(|sent| (sent, rows))
                });
                let (heard, read) = sending.await.map_err(io::Error::other)??;
                rows = Some(read);
                if !heard {
                    return Ok(());
                }
            }
            if !goes_on {
                return Ok(());
            }
            // A flush of results takes longer than this; what comes in one go is sent in one go.
            tokio::time::sleep(GATHER).await;
            let stopped = tokio::select! {
                changed = applied.changed() => changed.is_err(),
                () = self.sender.closed() => true,
            };
            if stopped {
                return Ok(());
            }
        }
    }

    fn find(&mut self) -> Option<Found> {
        let Self { node, run, request, sent, .. } = self;
        node.consensus.read_stale(|state| {
            let held = state.run(*run)?;
            sent.resize(held.results.len(), false);
            let mut results = Vec::new();
            for ((index, result), sent) in (0u32..).zip(&held.results).zip(sent) {
                let Some(result) = result else { continue };
                if !*sent && (!request.failed_only || result.failure.is_some()) {
                    *sent = true;
                    results.push((index, result.clone()));
                }
            }
            let running = held.progress.status == RunStatus::Running;
            Some(Found { results, dataset: held.spec.dataset.digest, running })
        })
    }
}

/// The rows of the dataset, where they are asked for.
struct Rows {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Rows {
    fn of(blobs: &BlobStore, request: &RunResultsRequest, dataset: Digest) -> io::Result<Self> {
        let bytes = if request.full { blobs.get(&dataset)?.unwrap_or_default() } else { Vec::new() };
        let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(position, _)| position + 1);
        let starts = std::iter::once(0).chain(ends).collect();
        Ok(Self { bytes, starts })
    }

    fn get(&self, index: u32) -> &[u8] {
        let start = self.starts.get(index as usize).copied().unwrap_or(self.bytes.len());
        let end = self.starts.get(index as usize + 1).map_or(self.bytes.len(), |next| next - 1);
        self.bytes.get(start..end).unwrap_or_default()
    }
}

/// `false`: nobody listens any more.
fn send(
    blobs: &BlobStore,
    rows: &Rows,
    request: &RunResultsRequest,
    found: Vec<(u32, Recorded)>,
    sender: &mpsc::Sender<Result<ResultBatch, Status>>,
) -> io::Result<bool> {
    let (mut results, mut bytes) = (Vec::new(), 0);
    for (index, result) in found {
        let shown = show(blobs, rows, request, index, &result)?;
        bytes += shown.example.len() + shown.prediction.len() + shown.returned.len();
        results.push(shown);
        if results.len() >= BATCH || bytes >= BATCH_BYTES {
            bytes = 0;
            let batch = ResultBatch { results: std::mem::take(&mut results) };
            if sender.blocking_send(Ok(batch)).is_err() {
                return Ok(false);
            }
        }
    }
    // The last batch may be empty: then nothing was asked for that exists.
    Ok(sender.blocking_send(Ok(ResultBatch { results })).is_ok())
}

fn show(
    blobs: &BlobStore,
    rows: &Rows,
    request: &RunResultsRequest,
    index: u32,
    result: &Recorded,
) -> io::Result<ExampleResult> {
    let mut shown = ExampleResult {
        index,
        score: result.score.value,
        duration_us: result.duration_us,
        attempt: result.attempt,
        score_kind: score_kind(result.score.kind).into(),
        ..ExampleResult::default()
    };
    if request.full {
        shown.example = example(rows.get(index)).into();
    }
    if request.full || request.returned {
        let stored = result.prediction.map(|digest| blob(blobs, digest)).transpose()?.unwrap_or_default();
        let (prediction, returned) = split_returned(&stored);
        if request.full {
            shown.prediction = prediction.to_vec().into();
        }
        if request.returned {
            shown.returned = returned.to_vec().into();
        }
    }
    if let Some(failure) = &result.failure {
        let stored = blob(blobs, failure.detail)?;
        let (detail, returned) = split_returned(&stored);
        shown.failure = Some(describe(&failure.class, detail));
        if request.returned {
            shown.returned = returned.to_vec().into();
        }
    }
    Ok(shown)
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
