//! An Evaluation actor for each run that this node owns: plans what is missing, gives orders to workers, hands results to
//! the recorder. What it knows beyond the log (who executes what since when) dies with it, and nothing is lost.

mod backoff;
mod deadlines;
mod draining;
mod lost;
mod placement;
mod plan;
mod prefetch;
mod remote;
mod rows;
mod shut_out;
mod since;
mod slots;
mod spans;
mod stalls;
mod starving;
mod unrecorded;
mod work;
mod workers;

use std::sync::Arc;
use std::time::Duration;

use dspex_model::{BoardEvent, Command, NodeId, RunId, RunStatus, WorkReport};
use dspex_python::protocol::Answer;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use ractor_cluster::RactorMessage;
use tracing::{info, warn};

use crate::board::Board;
use crate::context::NodeContext;
use crate::metering;
use crate::proposing::{By, propose};
use crate::recorder::{Recorded, RecorderMessage};
use crate::run_workers::RunWorkersMessage;
use crate::submission::Caller;
use crate::worker::{LoadedProcess, WorkerReport};

pub(crate) use backoff::Backoff;
pub(crate) use lost::shown_tail;
pub(crate) use placement::workers;
pub(crate) use plan::WorkerKey;
pub(crate) use rows::Rows;
use work::Work;
pub(crate) use workers::{load, placed, threads_of, worker_id};

/// A run that is not detached is cancelled when nobody has watched it as its driver for so long.
const DRIVERLESS_MAX: Duration = Duration::from_secs(30);

const REASON_BYTES_MAX: usize = 4096;

#[derive(Debug, RactorMessage)]
pub(crate) enum EvaluationMessage {
    /// From one of its workers.
    Worker(WorkerKey, WorkerReport),
    /// From a node that has workers of this run.
    Remote(NodeId, WorkReport),
    /// Nothing comes from this node any more.
    NodeLost(NodeId),
    /// The driver's answer to a question of a worker that is elsewhere.
    Answer { worker: String, answer: Answer },
    /// From the recorder.
    Recorded(Recorded),
    /// The run is paused.
    Pause,
    /// Time to look at deadlines and the driver.
    Tick,
    /// It may be time for another worker: a replacement's back-off is over, one has left, or nobody had room before.
    SpawnWorker,
}

/// What an evaluation is started with.
#[derive(Clone)]
pub(crate) struct EvaluationArguments {
    pub context: Arc<NodeContext>,
    pub run: RunId,
    pub epoch: u64,
    /// `None`: this node has no environment for the run, and only plans it.
    pub caller: Option<Arc<Caller>>,
    pub board: Arc<Board>,
    pub run_workers: ActorRef<RunWorkersMessage>,
    pub recorder: ActorRef<RecorderMessage>,
    /// W3C trace context of the caller.
    pub traceparent: Option<String>,
}

pub(crate) struct EvaluationActor;

impl Actor for EvaluationActor {
    type Msg = EvaluationMessage;
    type State = Work;
    type Arguments = (EvaluationArguments, Option<LoadedProcess>);

    async fn pre_start(
        &self,
        myself: ActorRef<EvaluationMessage>,
        (arguments, loaded): (EvaluationArguments, Option<LoadedProcess>),
    ) -> Result<Work, ActorProcessingErr> {
        let mut work = Work::open(arguments, myself.clone()).await?;
        work.start_workers(loaded).await?;
        myself.send_interval(work.tick_every(), || EvaluationMessage::Tick);
        Ok(work)
    }

    async fn handle(
        &self,
        myself: ActorRef<EvaluationMessage>,
        message: EvaluationMessage,
        work: &mut Work,
    ) -> Result<(), ActorProcessingErr> {
        let next = match message {
            EvaluationMessage::Worker(key, report) => work.hear(key, report).await?,
            EvaluationMessage::Remote(node, report) => work.hear_remote(node, report).await?,
            EvaluationMessage::NodeLost(node) => work.node_lost(node)?,
            EvaluationMessage::Answer { worker, answer } => {
                work.answer(&worker, answer);
                Next::Go
            }
            EvaluationMessage::Recorded(recorded) => work.recorded(recorded),
            EvaluationMessage::Pause => work.pause(),
            EvaluationMessage::Tick => work.tick().await,
            EvaluationMessage::SpawnWorker => {
                work.spawn_worker(None).await?;
                Next::Go
            }
        };
        match next {
            // Paused, and all that was under way has come back.
            Next::Go if work.plan.has_run_out() => myself.stop(None),
            Next::Go => work.dispatch(),
            Next::Stop => myself.stop(None),
            Next::Fail(reason) => {
                work.fail(reason).await;
                myself.stop(None);
            }
            Next::Cancel(_) if !work.may_cancel().await => myself.stop(None),
            Next::Cancel(reason) => work.cancel(reason).await,
            Next::HandOver(heir) if work.hand_over(heir).await => myself.stop(None),
            // It is tried again.
            Next::HandOver(_) => {}
        }
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<EvaluationMessage>, work: &mut Work) -> Result<(), ActorProcessingErr> {
        // The log's word: its effect may stop this actor before the recorder's answer is read.
        let ended = work.ended();
        if let Some((status, executed)) = ended {
            metering::run_ended(status.name(), executed);
        }
        if ended.is_some_and(|(status, _)| matches!(status, RunStatus::Finished | RunStatus::Paused)) {
            work.finish_workers();
        } else {
            work.stop_workers();
        }
        work.arguments.board.forget_questions_of(work.arguments.epoch);
        Ok(())
    }
}

/// What follows from a message.
pub(crate) enum Next {
    /// Give out what can be given out.
    Go,
    /// The run has ended.
    Stop,
    /// The run cannot have a score.
    Fail(String),
    /// Nobody wants it any more.
    Cancel(String),
    /// Another node is to own it.
    HandOver(NodeId),
}

impl Work {
    fn recorded(&mut self, recorded: Recorded) -> Next {
        self.plan.recorded(recorded.results);
        match recorded.status {
            Ok(RunStatus::Running) => {
                self.arguments.board.committed();
                Next::Go
            }
            // The effect may have been lost.
            Ok(RunStatus::Paused) => {
                self.arguments.board.committed();
                self.pause()
            }
            Ok(status) => {
                self.arguments.board.committed();
                info!(run = %self.arguments.run, status = status.name(), "run ended");
                Next::Stop
            }
            Err(error) => {
                let text =
                    format!("results could not be stored: {error}. The run stops here; resume it when that is mended");
                self.arguments.board.publish(BoardEvent::Warning(text.clone()));
                Next::Cancel(text)
            }
        }
    }

    /// Workers end what they have been given. One that has not come up yet would come up for nothing.
    fn pause(&mut self) -> Next {
        self.plan.hold();
        Next::Go
    }

    /// As far as this node knows. A former owner's orders are carried out by nobody.
    fn is_owner(&self) -> bool {
        let EvaluationArguments { context, run, epoch, .. } = &self.arguments;
        let current = context.parts.consensus.read_stale(|state| state.run(*run).map(|held| held.progress.epoch));
        current.is_none_or(|current| current <= *epoch)
    }

    /// How the run ended and how long it was under execution; None: it goes on elsewhere, or was deleted.
    fn ended(&self) -> Option<(RunStatus, Duration)> {
        let EvaluationArguments { context, run, .. } = &self.arguments;
        let progress =
            |held: &dspex_model::Run| (held.progress.status, Duration::from_millis(held.progress.executed_ms));
        let found = context.parts.consensus.read_stale(|state| state.run(*run).map(progress));
        found.filter(|(status, _)| *status != RunStatus::Running)
    }

    async fn tick(&mut self) -> Next {
        self.forget_what_was_recorded();
        if !self.is_owner() {
            info!(run = %self.arguments.run, "another node owns the run now");
            return Next::Stop;
        }
        if let Some(reason) = self.look_for_sites() {
            return Next::Cancel(reason);
        }
        if let Some(heir) = self.make_way() {
            return Next::HandOver(heir);
        }
        let is_without = self.members.is_empty() && self.plan.waiting() > 0;
        // Nobody had room.
        for _ in 0..std::mem::take(&mut self.unplaced).max(usize::from(is_without)) {
            // Fails only when this actor is stopping.
            let _ = self.myself.cast(EvaluationMessage::SpawnWorker);
        }
        self.judge_deadlines();
        self.warn_of_slow_examples();
        self.weigh();
        self.share_out();
        self.hedge_stragglers();
        self.move_a_worker();
        self.look_for_lost_results().await;
        let board = &self.arguments.board;
        // Who watched a run that is paused now has left, and is missed only where the workers ask for its answers.
        let is_missed = !self.plan.is_held() || self.payload.is_some();
        if !self.detached && is_missed && board.driverless() > DRIVERLESS_MAX {
            return Next::Cancel(
                "the program that submitted it is gone; resume it, or submit with --detach".to_owned(),
            );
        }
        Next::Go
    }

    async fn fail(&self, reason: String) {
        let EvaluationArguments { run, epoch, .. } = self.arguments;
        self.propose(Command::FailRun { run, epoch, reason }).await;
    }

    /// An owner that was cut off must not end a run that another one goes on with. It stops without a word: what the log says then,
    /// `reconcile` derives again.
    async fn may_cancel(&self) -> bool {
        let EvaluationArguments { context, run, epoch, .. } = &self.arguments;
        if !context.parts.has_peers || self.spec.shipped.is_none() {
            return true;
        }
        let current = context.parts.consensus.read(|state| state.run(*run).map(|held| held.progress.epoch)).await;
        match current {
            Ok(current) => current == Some(*epoch),
            Err(error) => {
                warn!(%run, %error, "whether this node still owns the run cannot be asked: it gives no more orders");
                false
            }
        }
    }

    /// The actor stops when the effect of the cancel comes back from the log.
    async fn cancel(&self, reason: String) {
        self.propose(Command::CancelRun { run: self.arguments.run, reason }).await;
    }

    async fn propose(&self, mut command: Command) {
        if let Command::FailRun { reason, .. } | Command::CancelRun { reason, .. } = &mut command {
            // What a program printed may be long, and an entry of the log may not.
            reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        }
        // Fail and cancel are refused when the run has ended meanwhile, which is as good.
        // Without a request id: a second one is refused as harmlessly, and no clock can make the end too old.
        if let Err(error) = propose(&self.arguments.context.parts.consensus, By::default(), &command).await {
            warn!(run = %self.arguments.run, %error, "the log did not take the end of a run");
        }
    }
}
