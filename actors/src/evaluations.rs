//! The supervisor of Evaluation actors: starts one for each run that this node owns and has a caller's environment for, and
//! starts it again when it fails.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use dspex_model::{Command, PeerMessage, RunId, RunReport, RunStatus};
use dspex_python::protocol::Answer;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use ractor_cluster::RactorMessage;
use tracing::{error, warn};

use crate::attendance::attended;
use crate::board::Board;
use crate::context::NodeContext;
use crate::error::SubmitError;
use crate::evaluation::{EvaluationActor, EvaluationArguments, EvaluationMessage};
use crate::links::LinkEvent;
use crate::preparation;
use crate::proposing::{By, propose};
use crate::recorder::RecorderMessage;
use crate::run_workers::RunWorkersMessage;
use crate::submission::Caller;
use crate::worker::LoadedProcess;

/// Failures of one run's actor before its run is given up until a resume.
const FAILURES_MAX: u32 = 5;

/// What only the caller could hand over, for a run that is about to be in the log.
pub(crate) struct Handover {
    /// `None`: this node has no environment for it, and only plans.
    pub caller: Option<Arc<Caller>>,
    pub board: Arc<Board>,
    /// The worker that checked the program.
    pub loaded: Option<LoadedProcess>,
    /// W3C trace context of the caller.
    pub traceparent: Option<String>,
}

#[derive(RactorMessage)]
pub(crate) enum EvaluationsMessage {
    /// A proposal for this run is on its way to the log.
    Expect(RunId, Box<Handover>),
    /// That proposal was refused.
    Forget(RunId),
    /// The log says that this node owns the run. Repeated freely.
    Own { run: RunId, epoch: u64 },
    /// A run that another node has begun can go on here, or not.
    TakenOver { run: RunId, epoch: u64, handover: Result<Box<Handover>, SubmitError> },
    /// The log says that the run is paused.
    Pause(RunId),
    /// The log says that the run has ended.
    Stop(RunId),
    /// From the links.
    Link(LinkEvent),
    /// The driver's answer to a question of a worker that is on another node.
    Answer { run: RunId, worker: String, answer: Answer },
}

pub(crate) struct EvaluationsActor;

pub(crate) struct EvaluationsArguments {
    pub context: Arc<NodeContext>,
    pub run_workers: ActorRef<RunWorkersMessage>,
    pub recorder: ActorRef<RecorderMessage>,
}

pub(crate) struct EvaluationsState {
    arguments: EvaluationsArguments,
    runs: HashMap<RunId, Entry>,
    /// What only the log has of them is being got ready.
    taking_over: HashSet<RunId>,
}

struct Entry {
    handover: Handover,
    actor: Option<(ActorRef<EvaluationMessage>, u64)>,
    failures: u32,
    _hidden: dspex_telemetry::Hidden,
}

impl Actor for EvaluationsActor {
    type Msg = EvaluationsMessage;
    type State = EvaluationsState;
    type Arguments = EvaluationsArguments;

    async fn pre_start(
        &self,
        _: ActorRef<EvaluationsMessage>,
        arguments: EvaluationsArguments,
    ) -> Result<EvaluationsState, ActorProcessingErr> {
        Ok(EvaluationsState { arguments, runs: HashMap::new(), taking_over: HashSet::new() })
    }

    async fn handle(
        &self,
        myself: ActorRef<EvaluationsMessage>,
        message: EvaluationsMessage,
        state: &mut EvaluationsState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            EvaluationsMessage::Expect(run, handover) => {
                state.expect(run, *handover);
            }
            EvaluationsMessage::TakenOver { run, epoch, handover } => {
                state.taken_over(&myself, run, epoch, handover).await;
            }
            EvaluationsMessage::Forget(run) => {
                state.arguments.context.boards.remove(run);
                state.runs.remove(&run);
            }
            EvaluationsMessage::Own { run, epoch } => state.own(&myself, run, epoch).await,
            EvaluationsMessage::Link(event) => state.link(event),
            EvaluationsMessage::Answer { run, worker, answer } => {
                if let Some((actor, _)) = state.runs.get(&run).and_then(|entry| entry.actor.as_ref()) {
                    // One that is gone has no workers that wait.
                    let _ = actor.cast(EvaluationMessage::Answer { worker, answer });
                }
            }
            EvaluationsMessage::Pause(run) => {
                if let Some((actor, _)) = state.runs.get(&run).and_then(|entry| entry.actor.as_ref()) {
                    // One that is gone gives nothing out.
                    let _ = actor.cast(EvaluationMessage::Pause);
                }
            }
            EvaluationsMessage::Stop(run) => {
                if let Some((actor, _)) = state.runs.remove(&run).and_then(|entry| entry.actor) {
                    actor.stop(None);
                }
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<EvaluationsMessage>,
        event: SupervisionEvent,
        state: &mut EvaluationsState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(cell, ..) => state.ended(cell.get_id()),
            SupervisionEvent::ActorFailed(cell, error) => state.failed(&myself, cell.get_id(), &error.to_string()),
            _ => {}
        }
        Ok(())
    }
}

impl EvaluationsState {
    /// An actor that is gone has no workers elsewhere that matter.
    fn link(&self, event: LinkEvent) {
        match event {
            LinkEvent::Said(node, PeerMessage::Report(RunReport { run, epoch, what })) => {
                let actor = self.runs.get(&run).and_then(|entry| entry.actor.as_ref());
                if let Some((actor, _)) = actor.filter(|(_, current)| *current == epoch) {
                    let _ = actor.cast(EvaluationMessage::Remote(node, what));
                }
            }
            LinkEvent::Said(_, PeerMessage::Attended { run }) => attended(&self.arguments.context, run),
            LinkEvent::Said(..) => {}
            LinkEvent::Lost(node) => {
                for (actor, _) in self.runs.values().filter_map(|entry| entry.actor.as_ref()) {
                    let _ = actor.cast(EvaluationMessage::NodeLost(node));
                }
            }
        }
    }

    /// Idempotent: an effect, a re-derivation and a restart may all say the same.
    async fn own(&mut self, myself: &ActorRef<EvaluationsMessage>, run: RunId, epoch: u64) {
        let EvaluationsArguments { context, run_workers, recorder } = &self.arguments;
        // Without a caller (a node that has just restarted) a run in its directory waits for a resume.
        let Some(entry) = self.runs.get_mut(&run) else { return self.take_over(myself, run, epoch) };
        if entry.actor.as_ref().is_some_and(|(_, running)| *running >= epoch) {
            return;
        }
        let progress = context
            .parts
            .consensus
            .read_stale(|state| state.run(run).map(|held| (held.progress.status, held.progress.epoch)));
        if progress != Some((RunStatus::Running, epoch)) {
            return;
        }
        let arguments = EvaluationArguments {
            context: Arc::clone(context),
            run,
            epoch,
            caller: entry.handover.caller.clone(),
            board: Arc::clone(&entry.handover.board),
            run_workers: run_workers.clone(),
            recorder: recorder.clone(),
            traceparent: entry.handover.traceparent.clone(),
        };
        let loaded = entry.handover.loaded.take();
        entry.handover.board.begin(epoch);
        match Actor::spawn_linked(None, EvaluationActor, (arguments, loaded), myself.get_cell()).await {
            Ok((actor, _)) => entry.actor = Some((actor, epoch)),
            Err(error) => retry(context, myself, run, epoch, entry, &error.to_string()),
        }
    }

    /// A run that another node has begun, or that stopped here: its code is in the blobs, so nothing is missing.
    fn take_over(&mut self, myself: &ActorRef<EvaluationsMessage>, run: RunId, epoch: u64) {
        let context = &self.arguments.context;
        let is_shipped = context.parts.consensus.read_stale(|state| {
            state.run(run).is_some_and(|held| held.spec.shipped.is_some() && held.progress.status == RunStatus::Running)
        });
        if !is_shipped || !self.taking_over.insert(run) {
            return;
        }
        let (context, myself) = (Arc::clone(context), myself.clone());
        tokio::spawn(async move {
            let handover = preparation::taken_over(&context, run, epoch).await;
            // A supervisor that is gone is gone with this node.
            let _ = myself.cast(EvaluationsMessage::TakenOver { run, epoch, handover });
        });
    }

    async fn taken_over(
        &mut self,
        myself: &ActorRef<EvaluationsMessage>,
        run: RunId,
        epoch: u64,
        handover: Result<Box<Handover>, SubmitError>,
    ) {
        self.taking_over.remove(&run);
        match handover {
            Ok(handover) => {
                // A resume may have come in between, with a caller of its own.
                if !self.runs.contains_key(&run) {
                    self.expect(run, *handover);
                }
                self.own(myself, run, epoch).await;
            }
            // It is derived again from the log before long.
            Err(error) => warn!(%run, %error, "a run that this node owns now cannot go on yet"),
        }
    }

    fn expect(&mut self, run: RunId, handover: Handover) {
        self.arguments.context.boards.insert(run, Arc::clone(&handover.board));
        // What the program prints of its secrets does not reach this node's log.
        let nothing = std::collections::BTreeMap::new();
        let environment = handover.caller.as_ref().map_or(&nothing, |caller| &caller.environment);
        let hidden = dspex_telemetry::hide(environment);
        self.runs.insert(run, Entry { handover, actor: None, failures: 0, _hidden: hidden });
    }

    fn failed(&mut self, myself: &ActorRef<EvaluationsMessage>, actor: ActorId, error: &str) {
        let owner = |entry: &Entry| entry.actor.as_ref().is_some_and(|(held, _)| held.get_id() == actor);
        if let Some((&run, entry)) = self.runs.iter_mut().find(|(_, entry)| owner(entry)) {
            let epoch = entry.actor.take().map_or(0, |(_, epoch)| epoch);
            retry(&self.arguments.context, myself, run, epoch, entry, error);
        }
    }

    /// The environment of a run that has ended is dropped; a resume brings its own.
    fn ended(&mut self, actor: ActorId) {
        self.runs.retain(|_, entry| entry.actor.as_ref().is_none_or(|(held, _)| held.get_id() != actor));
    }
}

/// Starts the run's actor again, later each time; in the end the run is cancelled: it can be resumed, and nobody waits for
/// ever.
fn retry(
    context: &Arc<NodeContext>,
    myself: &ActorRef<EvaluationsMessage>,
    run: RunId,
    epoch: u64,
    entry: &mut Entry,
    error: &str,
) {
    entry.failures += 1;
    if entry.failures > FAILURES_MAX {
        error!(%run, error, "an evaluation keeps failing and is cancelled");
        let (context, reason) = (Arc::clone(context), format!("the run's actor failed {FAILURES_MAX} times: {error}"));
        tokio::spawn(async move { cancel(&context, run, reason).await });
        return;
    }
    warn!(%run, error, failures = entry.failures, "an evaluation failed and is started again");
    let wait = Duration::from_millis(100 << entry.failures);
    myself.send_after(wait, move || EvaluationsMessage::Own { run, epoch });
}

async fn cancel(context: &NodeContext, run: RunId, reason: String) {
    if let Err(error) = propose(&context.parts.consensus, By::default(), &Command::CancelRun { run, reason }).await {
        error!(%run, %error, "the log did not take the cancel of an evaluation that keeps failing");
    }
}
