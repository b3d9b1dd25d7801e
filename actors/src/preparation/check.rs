//! Loads a program in a worker of its own, before anything is stored.

use crate::freeing::PIN_FOR;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use dspex_model::{Digest, RunSpec};
use dspex_python::protocol::{FromWorker, Load, Loaded, Number, PROTOCOL_VERSION, Ready, ToWorker};
use dspex_python::{EndReason, Ended, WorkerEvent, WorkerProcess};

use crate::capacity::{Claimant, Place};
use crate::context::NodeContext;
use crate::error::{SubmitError, SubmitErrorKind};
use crate::evaluation::{self, threads_of};
use crate::payload;
use crate::submission::{Caller, DatasetSource, EvaluationRequest};
use crate::worker::{LOAD_LIMIT, LoadedProcess};

/// DSPy's default.
pub(super) const NUM_THREADS: u32 = 8;
/// For a free worker; who waits longer is told.
const CAPACITY_LIMIT: Duration = Duration::from_secs(60);
/// Bytes of a Python dataset's rows.
const ROWS_BYTES_MAX: usize = 1 << 30;

/// What to load, and with how many threads in all.
pub(super) struct Checking {
    load: Load,
    num_threads: Option<u32>,
    workers: Option<u32>,
}

impl Checking {
    /// A new submission: the dataset of a Python file is loaded with it.
    pub(super) async fn submission(context: &NodeContext, request: &EvaluationRequest) -> Result<Self, SubmitError> {
        let payload = payload::read(&context.parts.blobs, &request.program).await?;
        let (columns, dataset, text_cells) = match &request.dataset {
            DatasetSource::File { envelopes: true, .. } if payload.is_none() => {
                let message = "rows in envelopes may hold pickles: they are for a payload's run only";
                return Err(SubmitError::new(SubmitErrorKind::Argument, message));
            }
            DatasetSource::File { envelopes: true, .. } => (None, None, false),
            DatasetSource::File { columns, text_cells, .. } => {
                (Some(columns.iter().map(|column| column.name.clone()).collect()), None, *text_cells)
            }
            DatasetSource::Python(reference) => (None, Some(reference.clone()), false),
        };
        for (value, option) in [(request.num_threads, "--num-threads"), (request.workers, "--workers")] {
            if value == Some(0) {
                return Err(SubmitError::new(SubmitErrorKind::Argument, format!("{option} must be at least 1")));
            }
        }
        let load = Load {
            protocol: PROTOCOL_VERSION,
            threads: 1,
            program: request.program.clone(),
            metric: Some(request.metric.clone()),
            lm: request.lm.clone(),
            lm_settings: request.lm_settings.clone(),
            state: request.saved_state.clone(),
            inputs: request.inputs.clone(),
            columns,
            dataset,
            limit: request.limit.map(u64::from),
            text_cells,
            payload,
            root: None,
            path: None,
            failure_score: Number::Float(request.failure_score.unwrap_or(0.0)),
        };
        Ok(Self { load, num_threads: request.num_threads, workers: request.workers })
    }

    /// A stored run: its rows are there.
    pub(super) async fn stored(context: &NodeContext, spec: &RunSpec, caller: &Caller) -> Result<Self, SubmitError> {
        let payload = payload::read(&context.parts.blobs, &spec.program).await?;
        Ok(Self {
            load: evaluation::load(spec, 1, payload, caller),
            num_threads: Some(spec.num_threads),
            workers: Some(spec.workers),
        })
    }
}

/// A program that loads, in the worker that loaded it.
pub(super) struct Checked {
    pub(super) process: LoadedProcess,
    pub(super) loaded: Loaded,
    pub(super) ready: Ready,
    /// Rows of a Python dataset: their blob and number.
    pub(super) rows: Option<(Digest, u32)>,
}

/// Loads it. An error is the user's, word for word.
pub(super) async fn check(
    context: &Arc<NodeContext>,
    caller: &Caller,
    checking: Checking,
) -> Result<Checked, SubmitError> {
    let place = place(context).await?;
    let zygote = context.parts.zygotes.zygote(&caller.interpreter, &caller.environment).await?;
    let id = evaluation::worker_id();
    let mut process = zygote.fork(&id, &caller.environment, &caller.directory, "check").await?;
    let num_threads = checking.num_threads.unwrap_or(NUM_THREADS).min(context.parts.runs.threads_per_run_max);
    let workers = checking.workers.unwrap_or_else(|| default_workers(&sites(context, caller), num_threads));
    let threads = threads_of(num_threads, workers, 0);
    let load = Load { threads, ..evaluation::placed(checking.load, caller) };
    let ended = |error: &dyn std::fmt::Display| SubmitError::new(SubmitErrorKind::WorkerEnded, error);
    process.handle.send(&ToWorker::Load(Box::new(load))).await.map_err(|error| ended(&error))?;
    let loading = loaded(context, &mut process);
    let (loaded, rows) = tokio::time::timeout(LOAD_LIMIT, loading)
        .await
        .map_err(|_| ended(&format!("the program is still loading after {} s", LOAD_LIMIT.as_secs())))??;
    let process = LoadedProcess { process, place, threads };
    Ok(Checked { process, loaded, ready: zygote.ready().clone(), rows })
}

/// As many processes as there are CPUs, but none without a thread.
pub(super) fn default_workers(sites: &[u32], num_threads: u32) -> u32 {
    evaluation::workers(sites.iter().copied(), num_threads)
}

/// The CPUs of each node that may execute the run. What lies in a directory of this node is executed here only.
pub(super) fn sites(context: &NodeContext, caller: &Caller) -> Vec<u32> {
    let draining = context.draining_nodes();
    let peers = context.links.presences().into_iter();
    let open = peers.filter(|(node, _)| caller.placed.is_some() && !draining.contains(node));
    open.map(|(_, peer)| peer.cpus).chain([context.presence().cpus]).collect()
}

async fn place(context: &NodeContext) -> Result<Place, SubmitError> {
    let waiting = context.capacity.place(Claimant::New);
    tokio::time::timeout(CAPACITY_LIMIT, waiting).await.map_err(|_| {
        SubmitError::new(
            SubmitErrorKind::PoolFull,
            "all workers of this node are in use: wait for a run to end, or cancel one (dspex run list)",
        )
    })
}

async fn loaded(
    context: &NodeContext,
    process: &mut WorkerProcess,
) -> Result<(Loaded, Option<(Digest, u32)>), SubmitError> {
    let mut rows: Vec<u8> = Vec::new();
    let mut count: u32 = 0;
    loop {
        match process.events.recv().await {
            Some(WorkerEvent::Frame(FromWorker::Rows(part))) => {
                for row in part.rows {
                    rows.extend_from_slice(&row);
                    rows.push(b'\n');
                    count += 1;
                }
                if rows.len() > ROWS_BYTES_MAX {
                    return Err(SubmitError::new(SubmitErrorKind::TooLarge, "the dataset is larger than 1 GiB"));
                }
            }
            Some(WorkerEvent::Frame(FromWorker::Loaded(loaded))) => {
                let blob = if count > 0 { Some((store(context, rows).await?, count)) } else { None };
                return Ok((loaded, blob));
            }
            Some(WorkerEvent::Frame(FromWorker::LoadFailed(failed))) => return Err(failed.into()),
            Some(WorkerEvent::Frame(_)) => {}
            Some(WorkerEvent::Ended(ended)) => {
                return Err(ended_while_loading(&ended, &process.handle.output().text()));
            }
            None => return Err(SubmitError::new(SubmitErrorKind::WorkerEnded, "the worker is gone")),
        }
    }
}

fn ended_while_loading(ended: &Ended, output: &str) -> SubmitError {
    let reason = match ended {
        Ended { code: Some(code), reason: EndReason::Exited, .. } => {
            format!("the program ended its process (exit code {code}) while it was imported")
        }
        ended => format!("while the program was imported, {ended}"),
    };
    let printed = output.trim_end();
    let printed = if printed.is_empty() { String::new() } else { format!("\nIt printed:\n{printed}") };
    SubmitError::new(SubmitErrorKind::WorkerEnded, format!("{reason}{printed}"))
}

async fn store(context: &NodeContext, bytes: Vec<u8>) -> Result<Digest, SubmitError> {
    // An equal blob of a run that is being deleted must not be taken away between its write and its pin.
    let _held = context.freeing.hold().await;
    let blobs = context.parts.blobs.clone();
    let stored = tokio::task::spawn_blocking(move || blobs.put(&bytes)).await;
    let digest = stored.map_err(|error| SubmitError::new(SubmitErrorKind::Internal, error))?.map_err(|error| {
        SubmitError::from(io::Error::new(error.kind(), format!("the dataset could not be stored: {error}")))
    })?;
    context.parts.blobs.pin(digest, PIN_FOR);
    Ok(digest)
}
