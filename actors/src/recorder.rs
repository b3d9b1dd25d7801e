//! The recorder: gets results of this node's workers to the disk and into the log, as many at once as have gathered
//! while the last ones were being written, and for a while after that (`pace`).
//!
//! Blobs first, synced; then the proposal that names them. A result counts when the log says so, not before.

mod convert;
mod pace;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dspex_consensus::Consensus;
use dspex_model::{Command, Digest, Outcome, Rejection, RunId, RunStatus};
use dspex_python::protocol::ExampleResult;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef};
use ractor_cluster::RactorMessage;
use tokio::time::Instant;
use tracing::{error, warn};

use crate::context::NodeContext;
use crate::evaluation::EvaluationMessage;
use crate::hosting::HostedMessage;
use crate::proposing::{By, propose};
use convert::Converted;
use pace::{FLUSH_EVERY, is_time, rest};

/// How often results are offered to the voters before their run fails: each attempt has a time limit of its own.
const SPREAD_ATTEMPTS: u32 = 5;
const SPREAD_PAUSE: Duration = Duration::from_secs(1);

/// A result on its way to the log.
#[derive(Debug)]
pub(crate) struct Recording {
    pub run: RunId,
    pub generation: u64,
    pub result: ExampleResult,
    /// Where it was executed; stored with a failure.
    pub worker: String,
    /// The end of what a lost worker printed.
    pub output_tail: String,
    /// Who hears what became of it.
    pub teller: Teller,
}

/// Who has a result recorded: a run's owner here, or this node's part of another owner's run.
#[derive(Clone, Debug)]
pub(crate) enum Teller {
    Evaluation(ActorRef<EvaluationMessage>),
    Hosted(ActorRef<HostedMessage>),
}

impl Teller {
    fn id(&self) -> ActorId {
        match self {
            Self::Evaluation(evaluation) => evaluation.get_id(),
            Self::Hosted(hosted) => hosted.get_id(),
        }
    }

    /// One that is gone has nothing to hear.
    fn hear(&self, recorded: Recorded) {
        let _ = match self {
            Self::Evaluation(evaluation) => evaluation.cast(EvaluationMessage::Recorded(recorded)).is_ok(),
            Self::Hosted(hosted) => hosted.cast(HostedMessage::Recorded(recorded)).is_ok(),
        };
    }
}

/// What became of results that were handed to the recorder.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub results: usize,
    /// The run's status after them; an error means that the log or the disk does not take them.
    pub status: Result<RunStatus, String>,
}

#[derive(Debug, RactorMessage)]
pub(crate) enum RecorderMessage {
    Record(Recordings),
    /// The batch under way is done; so long nothing but what cannot wait is flushed.
    Flushed(Duration),
    /// The rest after so many flushes is over.
    Rested(u64),
}

/// Results, and whether more of this node are to be expected: what is last is not kept waiting.
#[derive(Debug)]
pub(crate) struct Recordings {
    pub results: Vec<Recording>,
    pub more_to_come: bool,
}

pub(crate) struct RecorderActor;

pub(crate) struct RecorderState {
    context: Arc<NodeContext>,
    gathered: Vec<Recording>,
    /// Something of it is not to be kept waiting.
    is_urgent: bool,
    is_flushing: bool,
    is_resting: bool,
    flushes: u64,
}

impl RecorderState {
    fn is_time(&self) -> bool {
        !self.is_flushing && is_time(self.gathered.len(), self.is_urgent, self.is_resting)
    }

    fn begin(&mut self, recorder: ActorRef<RecorderMessage>) {
        (self.is_flushing, self.is_resting, self.is_urgent) = (true, false, false);
        self.flushes += 1;
        let (batch, context) = (std::mem::take(&mut self.gathered), Arc::clone(&self.context));
        tokio::spawn(async move {
            let began = Instant::now();
            flush_or_fail(&context, batch).await;
            let rest = rest(began.elapsed());
            tokio::time::sleep_until(began + FLUSH_EVERY).await;
            // The recorder is gone only when its node stops.
            let _ = recorder.cast(RecorderMessage::Flushed(rest));
        });
    }
}

impl Actor for RecorderActor {
    type Msg = RecorderMessage;
    type State = RecorderState;
    type Arguments = Arc<NodeContext>;

    async fn pre_start(
        &self,
        _: ActorRef<RecorderMessage>,
        context: Arc<NodeContext>,
    ) -> Result<RecorderState, ActorProcessingErr> {
        let (is_urgent, is_flushing, is_resting) = (false, false, false);
        Ok(RecorderState { context, gathered: Vec::new(), is_urgent, is_flushing, is_resting, flushes: 0 })
    }

    async fn handle(
        &self,
        myself: ActorRef<RecorderMessage>,
        message: RecorderMessage,
        state: &mut RecorderState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RecorderMessage::Record(Recordings { mut results, more_to_come }) => {
                state.context.unrecorded.fetch_add(results.len(), Ordering::AcqRel);
                state.gathered.append(&mut results);
                state.is_urgent |= !more_to_come;
            }
            RecorderMessage::Flushed(rest) => {
                (state.is_flushing, state.is_resting) = (false, true);
                let flushes = state.flushes;
                myself.send_after(rest, move || RecorderMessage::Rested(flushes));
            }
            // Another one has begun since: the rest after that is another.
            RecorderMessage::Rested(flushes) => state.is_resting &= flushes != state.flushes,
        }
        if state.is_time() {
            state.begin(myself);
        }
        Ok(())
    }
}

async fn flush_or_fail(context: &Arc<NodeContext>, batch: Vec<Recording>) {
    let waiting: Vec<_> = batch.iter().map(|recording| recording.teller.clone()).collect();
    let flushing = Arc::clone(context);
    if let Err(error) = tokio::spawn(async move { flush(&flushing, batch).await }).await {
        error!(%error, "recording results failed");
        for teller in &waiting {
            // Told of one result more than once, it ends the run once.
            teller.hear(Recorded { results: 1, status: Err(error.to_string()) });
        }
    }
    context.unrecorded.fetch_sub(waiting.len(), Ordering::AcqRel);
}

async fn flush(context: &NodeContext, batch: Vec<Recording>) {
    let mut by_run: BTreeMap<(RunId, u64), Vec<Recording>> = BTreeMap::new();
    for recording in batch {
        by_run.entry((recording.run, recording.generation)).or_default().push(recording);
    }
    for ((run, generation), recordings) in by_run {
        let tellers = tellers(&recordings);
        let status = record(context, run, generation, recordings).await;
        if let Err(error) = &status {
            error!(%run, %error, "results could not be recorded");
        }
        for (teller, results) in tellers {
            teller.hear(Recorded { results, status: status.clone() });
        }
    }
}

/// Who hears of how many: a run that has changed its owner may have two parts here for a while.
fn tellers(recordings: &[Recording]) -> Vec<(Teller, usize)> {
    let mut tellers: BTreeMap<ActorId, (Teller, usize)> = BTreeMap::new();
    for Recording { teller, .. } in recordings {
        tellers.entry(teller.id()).or_insert_with(|| (teller.clone(), 0)).1 += 1;
    }
    tellers.into_values().collect()
}

/// A digest in the log is a promise that a majority can read the blob.
async fn spread(consensus: &Consensus, digests: &[Digest]) -> Result<(), String> {
    let mut attempt = 1;
    while let Err(error) = consensus.spread(digests).await {
        if attempt == SPREAD_ATTEMPTS {
            return Err(error.to_string());
        }
        warn!(%error, attempt, "results wait for a majority of the voters");
        tokio::time::sleep(SPREAD_PAUSE).await;
        attempt += 1;
    }
    Ok(())
}

async fn record(
    context: &NodeContext,
    run: RunId,
    generation: u64,
    recordings: Vec<Recording>,
) -> Result<RunStatus, String> {
    let node = context.parts.node;
    let blobs = context.parts.blobs.clone();
    // Until the log names them, an equal blob of a run that is being deleted must not be taken away.
    let _held = context.freeing.hold().await;
    let stored = tokio::task::spawn_blocking(move || {
        let Converted { blobs: values, proposals } = convert::convert(recordings, node);
        blobs.put_many(&values).map(|digests| (digests, proposals))
    });
    let (digests, proposals) = stored.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    spread(&context.parts.consensus, &digests).await?;
    let mut status = RunStatus::Running;
    for (names, results) in proposals {
        let command = Command::RecordResults { run, generation, names, results };
        let outcome = propose(&context.parts.consensus, By::default(), &command).await;
        status = match outcome.map_err(|error| error.to_string())? {
            Outcome::ResultsRecorded { status, .. } => status,
            Outcome::Rejected(Rejection::RunNotRunning(status)) => status,
            // Cancelled or deleted meanwhile: its results are fenced off.
            Outcome::Rejected(_) => RunStatus::Cancelled,
            other => return Err(format!("the log answered {other:?} to results")),
        };
    }
    Ok(status)
}
