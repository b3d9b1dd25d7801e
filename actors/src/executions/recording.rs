//! Takes what has gathered in the queue, stores its blobs, and proposes it, until the log has it or the node stops.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use dspex_consensus::{Consensus, ProposeError};
use dspex_model::{Command, Digest, Execution, Outcome, Proposal};
use dspex_telemetry::names;
use futures::future::Either;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::converting::{Converted, convert};
use super::{PLACES, Queued, Standing};
use crate::context::NodeContext;
use crate::freeing::PIN_FOR;
use crate::metering;

/// Between the starts of two commands: those of a busy node carry many executions each.
const FLUSH_EVERY: Duration = Duration::from_millis(10);
/// An attempt that takes longer is a sign that nothing is recorded for now. Each has a time limit of its own.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long nodes can be relied on to keep blobs that nothing names yet: less than a pin lasts, with a proposal after it.
const STORED_FOR: Duration = Duration::from_secs(60);
/// Between attempts, the first and the longest.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What takes the records of a node's executions.
#[derive(Debug)]
pub(crate) struct Recorder {
    queue: mpsc::Receiver<Queued>,
    standing: Arc<Standing>,
}

/// The node stops.
struct Stopped;

impl Recorder {
    pub(super) fn new(queue: mpsc::Receiver<Queued>, standing: Arc<Standing>) -> Self {
        Self { queue, standing }
    }

    /// What is queued at the moment.
    #[cfg(test)]
    pub(super) fn take(&mut self) -> Vec<Queued> {
        std::iter::from_fn(|| self.queue.try_recv().ok()).collect()
    }
}

/// Runs until the node stops.
pub(crate) async fn record_all(context: Arc<NodeContext>, mut recorder: Recorder) {
    let mut progress = context.parts.consensus.watch();
    let stopped = async move { while progress.changed().await.is_ok() {} };
    let recording = async {
        let mut batch = Vec::new();
        while recorder.queue.recv_many(&mut batch, PLACES).await > 0 {
            let next = Instant::now() + FLUSH_EVERY;
            if record(&context, &recorder.standing, std::mem::take(&mut batch)).await.is_err() {
                return;
            }
            tokio::time::sleep_until(next).await;
        }
    };
    tokio::select! {
        () = stopped => {}
        () = recording => {}
    }
}

/// Until it is recorded, a batch keeps its places.
async fn record(context: &NodeContext, standing: &Standing, batch: Vec<Queued>) -> Result<(), Stopped> {
    let (told, _places): (Vec<_>, Vec<_>) = batch.into_iter().map(|queued| (queued.told, queued._places)).unzip();
    let (node, count) = (context.parts.node, told.len() as u64);
    let Converted { blobs, commands } = match tokio::task::spawn_blocking(move || convert(told, node)).await {
        Ok(converted) => converted,
        Err(error) => {
            error!(%error, count, "executions could not be made records of");
            names::EXECUTIONS_RECORDED.with(["left_out"]).increment(count);
            return Ok(());
        }
    };
    let values = Arc::new(blobs);
    let mut stored = Stored::none();
    for executions in commands {
        write(context, standing, executions, &values, &mut stored).await?;
    }
    stored.digests.iter().for_each(|digest| context.parts.blobs.unpin(digest));
    Ok(())
}

/// Blobs that a majority keeps for the proposal that will name them.
struct Stored {
    digests: Vec<Digest>,
    since: Option<Instant>,
}

impl Stored {
    fn none() -> Self {
        Self { digests: Vec::new(), since: None }
    }

    fn is_old(&self) -> bool {
        self.since.is_none_or(|since| since.elapsed() > STORED_FOR)
    }
}

/// A digest in the log is a promise that a majority can read the blob.
async fn store(context: &NodeContext, standing: &Standing, values: &Arc<Vec<Bytes>>) -> Result<Stored, Stopped> {
    let mut waiting = Waiting::new(standing);
    loop {
        let (store, given) = (context.parts.blobs.clone(), Arc::clone(values));
        let stored = {
            // What is written is not freed before it is pinned.
            let _held = context.freeing.hold().await;
            let put = move || {
                let digests = store.put_many(&given)?;
                digests.iter().for_each(|digest| store.pin(*digest, PIN_FOR));
                Ok::<_, std::io::Error>(digests)
            };
            tokio::task::spawn_blocking(put).await.map_err(|error| error.to_string())
        };
        let why = match stored {
            Ok(Ok(digests)) => match waiting.mind(context.parts.consensus.spread(&digests)).await {
                Ok(()) => return Ok(Stored { digests, since: Some(Instant::now()) }),
                Err(error) => error.to_string(),
            },
            Ok(Err(error)) => error.to_string(),
            Err(error) => error,
        };
        waiting.pause(&context.parts.consensus, &why).await?;
    }
}

async fn write(
    context: &NodeContext,
    standing: &Standing,
    executions: Vec<Execution>,
    values: &Arc<Vec<Bytes>>,
    stored: &mut Stored,
) -> Result<(), Stopped> {
    let count = executions.len() as u64;
    let command = Command::RecordExecutions { executions };
    let mut waiting = Waiting::new(standing);
    loop {
        if !values.is_empty() && stored.is_old() {
            *stored = store(context, standing, values).await?;
        }
        // A repeated one records once: executions have ids.
        let proposed = Instant::now();
        let outcome = waiting.mind(context.parts.consensus.propose(Proposal::internal(command.clone()))).await;
        metering::proposed(proposed.elapsed());
        match outcome {
            Ok(Outcome::ExecutionsRecorded { recorded, duplicates, .. }) => {
                names::EXECUTIONS_RECORDED.with(["recorded"]).increment(u64::from(recorded));
                names::EXECUTIONS_RECORDED.with(["duplicate"]).increment(u64::from(duplicates));
                return Ok(());
            }
            Err(ProposeError::Stopped { .. }) => return Err(Stopped),
            Err(error @ (ProposeError::Busy | ProposeError::NoLeader | ProposeError::Unknown { .. })) => {
                waiting.pause(&context.parts.consensus, &error.to_string()).await?;
            }
            other => {
                error!(count, "executions are not recorded: the log answered {other:?}");
                names::EXECUTIONS_RECORDED.with(["left_out"]).increment(count);
                return Ok(());
            }
        }
    }
}

/// Attempts that came to nothing, and how long it is until the next.
struct Waiting<'a> {
    standing: &'a Standing,
    pause: Duration,
}

impl<'a> Waiting<'a> {
    fn new(standing: &'a Standing) -> Self {
        Self { standing, pause: PAUSE }
    }

    /// Waits for an attempt, and says so when that takes long.
    async fn mind<T>(&self, attempt: impl Future<Output = T>) -> T {
        let attempt = std::pin::pin!(attempt);
        match futures::future::select(attempt, std::pin::pin!(tokio::time::sleep(PATIENCE))).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(((), attempt)) => {
                self.stalls("nobody has answered yet");
                attempt.await
            }
        }
    }

    fn stalls(&self, why: &str) {
        if !self.standing.is_stalled.swap(true, Ordering::Relaxed) {
            warn!(why, "executions wait to be recorded");
        }
    }

    async fn pause(&mut self, consensus: &Consensus, why: &str) -> Result<(), Stopped> {
        self.stalls(why);
        if consensus.watch().has_changed().is_err() {
            return Err(Stopped);
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(())
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // Only one of them is there at a time.
        if self.standing.is_stalled.swap(false, Ordering::Relaxed) {
            info!("executions are recorded again");
        }
    }
}
