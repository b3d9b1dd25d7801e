//! Takes what has gathered in the queue, stores its blobs, and proposes it, until the log has it or the node stops.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dspex_consensus::{Consensus, ProposeError};
use dspex_model::{Command, Digest, Execution, Outcome};
use dspex_telemetry::names;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::converting::{Converted, convert};
use super::{PLACES, Queued, Standing};
use crate::context::NodeContext;
use crate::freeing::PIN_FOR;
use crate::proposing::{By, propose};

/// Between the starts of two commands: those of a busy node carry many executions each.
const FLUSH_EVERY: Duration = Duration::from_millis(10);
/// Between attempts, the first and the longest. Each has time limits of its own.
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
    let node = context.parts.node;
    let Converted { blobs, commands } = match tokio::task::spawn_blocking(move || convert(told, node)).await {
        Ok(converted) => converted,
        Err(error) => {
            error!(%error, "executions could not be made records of");
            return Ok(());
        }
    };
    let digests = match blobs.is_empty() {
        true => Vec::new(),
        false => store(context, standing, blobs).await?,
    };
    for executions in commands {
        write(context, standing, executions).await?;
    }
    digests.iter().for_each(|digest| context.parts.blobs.unpin(digest));
    Ok(())
}

/// A digest in the log is a promise that a majority can read the blob.
async fn store(context: &NodeContext, standing: &Standing, values: Vec<bytes::Bytes>) -> Result<Vec<Digest>, Stopped> {
    let values = Arc::new(values);
    let mut waiting = Waiting::new(standing);
    loop {
        let (store, given) = (context.parts.blobs.clone(), Arc::clone(&values));
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
            Ok(Ok(digests)) => match context.parts.consensus.spread(&digests).await {
                Ok(()) => return Ok(digests),
                Err(error) => error.to_string(),
            },
            Ok(Err(error)) => error.to_string(),
            Err(error) => error,
        };
        waiting.pause(&context.parts.consensus, &why).await?;
    }
}

async fn write(context: &NodeContext, standing: &Standing, executions: Vec<Execution>) -> Result<(), Stopped> {
    let count = executions.len() as u64;
    let command = Command::RecordExecutions { executions };
    let mut waiting = Waiting::new(standing);
    loop {
        // A repeated one records once: executions have ids.
        match propose(&context.parts.consensus, By::default(), &command).await {
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

    async fn pause(&mut self, consensus: &Consensus, why: &str) -> Result<(), Stopped> {
        if !self.standing.is_stalled.swap(true, Ordering::Relaxed) {
            warn!(why, "executions wait to be recorded");
        }
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
