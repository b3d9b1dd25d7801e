//! A Worker actor for each Python process: forks it, tells it what to serve, passes orders down and reports up.
//!
//! It decides nothing. When it dies its process dies with it, and its owner (an evaluation or a pool) hears of one end,
//! however it came.

mod launching;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dspex_model::BoardEvent;
pub(crate) use dspex_model::EndedBy;
use dspex_python::protocol::{
    Answer, Ask, Call, Calls, Define, Example, ExampleResult, Execute, Fatal, FromWorker, Load, Ping, Reply, Serve,
    Threads, ToWorker,
};
use dspex_python::{EndReason, Ended, MemoryLimit, SendError, WorkerEvent, WorkerHandle, WorkerProcess, beyond_limit};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use ractor_cluster::RactorMessage;
use tracing::{error, info};

use crate::board::Board;
use crate::capacity::Place;
use crate::context::NodeContext;
use crate::error::{SubmitError, SubmitErrorKind};
use crate::evaluation::{EvaluationMessage, WorkerKey};
use crate::hosting::HostedMessage;
use crate::metering;
use crate::pool::PoolMessage;
use crate::printing::Outlet;
use crate::submission::Caller;

use launching::Permit;
pub use view::{WorkerService, WorkerState, WorkerView};

/// Rows in one frame to a worker, unless a single one is longer; well below the limit of a frame.
const FRAME_ROWS_BYTES: usize = 8 << 20;

/// A program may load models while it is imported.
pub(crate) const LOAD_LIMIT: Duration = Duration::from_secs(600);
/// For what a program does at its end (`atexit`, files that are flushed), after its last example.
const FINISH_LIMIT: Duration = Duration::from_secs(2);

/// What an evaluation hears of a worker.
#[derive(Debug)]
pub(crate) enum WorkerReport {
    /// It has loaded the program, from these files where it was not the one that checked it: {path: sha256}.
    Ready(Option<BTreeMap<String, String>>),
    /// Examples are done.
    Results(Vec<ExampleResult>),
    /// The run cannot have a score.
    Fatal(Fatal),
    /// Its interpreter answers.
    Answers,
    /// User code asks the driver.
    Ask(Ask),
    /// Its class of pools has room for its process, which is made now.
    Placed,
    /// It serves calls.
    Serving,
    /// Calls are done.
    Replies(Vec<Reply>),
    /// It gives these calls back, not started.
    Returned(Vec<u64>),
    /// It is to finish what it has and end, for an operator or for another run; whether another one is to take its place.
    Leave { replace: bool },
    /// It is gone. Exactly once, and last.
    Ended(WorkerEnd),
}

/// How a worker went.
#[derive(Clone, Debug)]
pub(crate) struct WorkerEnd {
    /// For a person.
    pub message: String,
    /// The end of what it printed.
    pub output: String,
    /// Whose doing it was.
    pub by: EndedBy,
    /// Why it could not serve, where it did not come to that.
    pub refused: Option<SubmitError>,
}

/// A process that has already loaded the program: the one that checked a submission.
#[derive(Debug)]
pub(crate) struct LoadedProcess {
    pub process: WorkerProcess,
    pub place: Place,
    pub threads: u32,
}

/// What a worker starts from. One of a pool waits for a place in its class for as long as it has `patience`.
#[derive(Debug)]
pub(crate) enum Origin {
    Loaded(LoadedProcess),
    Launch { caller: Arc<Caller>, load: Box<Load> },
    Serve { caller: Arc<Caller>, serve: Serve, limit: Duration, patience: Duration },
}

/// Who gives a worker its orders.
#[derive(Clone, Debug)]
pub(crate) enum WorkerOwner {
    Evaluation(ActorRef<EvaluationMessage>, Arc<Board>),
    Pool(ActorRef<PoolMessage>),
    /// For a run that another node owns.
    Hosted(ActorRef<HostedMessage>, Arc<Outlet>),
}

impl WorkerOwner {
    /// `false`: the owner is gone.
    pub(crate) fn tell(&self, key: WorkerKey, report: WorkerReport) -> bool {
        match self {
            Self::Evaluation(owner, _) => owner.cast(EvaluationMessage::Worker(key, report)).is_ok(),
            Self::Pool(owner) => owner.cast(PoolMessage::Worker(key, report)).is_ok(),
            Self::Hosted(owner, _) => owner.cast(HostedMessage::Worker(key, report)).is_ok(),
        }
    }

    fn printed(&self, worker: &str, text: String, dropped_bytes: u64) {
        match self {
            Self::Evaluation(_, board) => {
                board.publish(BoardEvent::Output { worker: worker.to_owned(), text, dropped_bytes });
            }
            Self::Hosted(_, outlet) => outlet.print(worker, text, dropped_bytes),
            Self::Pool(_) => info!(target: "dspex::output", worker, dropped_bytes, "{text}"),
        }
    }
}

/// Where a worker belongs.
pub(crate) struct WorkerPlace {
    pub context: Arc<NodeContext>,
    pub key: WorkerKey,
    pub id: String,
    pub service: WorkerService,
    pub owner: WorkerOwner,
    /// What it executes may run again, so that it may be ended for another.
    pub may_repeat: bool,
    pub memory_limit: Option<u64>,
}

#[derive(Debug, RactorMessage)]
pub(crate) enum WorkerMessage {
    /// First, sent by the actor to itself: starting takes time, and its pool must not wait for it.
    Start(Origin),
    Execute(Vec<Example>),
    Calls(Vec<Call>),
    Define(Define),
    /// The driver's answer to a question.
    Answer(Answer),
    /// Give back the calls that were not started.
    Recall,
    Event(WorkerEvent),
    /// Finish what it has, then end; whether another one is to take its place.
    Leave {
        replace: bool,
    },
    /// Asks whether the interpreter answers.
    Ping,
    /// Execute so many examples at once from now on.
    Threads(u32),
    /// It has had its time to load.
    LoadLimit(Duration),
    /// It needs more memory than it may.
    BeyondMemory,
    /// There is no more work: what the program left for its end is done, then the process ends.
    Finish,
    /// Ends the process at once; the end is reported.
    Kill,
}

pub(crate) struct WorkerActor;

pub(crate) struct WorkerActorState {
    place: WorkerPlace,
    process: Option<RunningProcess>,
    in_flight: usize,
    loaded: bool,
    /// Why it is killed, where the process itself cannot say it.
    failure: Option<(String, Option<SubmitError>)>,
    leaving: bool,
    finishing: bool,
    since: Instant,
    _view: ViewGuard,
}

/// Dropping it gives the process up: the package kills it.
struct RunningProcess {
    handle: WorkerHandle,
    memory: Option<(Arc<MemoryLimit>, AbortOnDrop)>,
    _pumps: [AbortOnDrop; 2],
    _permit: Permit,
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Takes the worker off the list, also when its actor panics or is killed.
struct ViewGuard {
    context: Arc<NodeContext>,
    id: String,
}

impl Drop for ViewGuard {
    fn drop(&mut self) {
        self.context.view(|views| {
            views.remove(&self.id);
        });
    }
}

impl Actor for WorkerActor {
    type Msg = WorkerMessage;
    type State = WorkerActorState;
    type Arguments = (WorkerPlace, Origin);

    async fn pre_start(
        &self,
        myself: ActorRef<WorkerMessage>,
        (place, origin): (WorkerPlace, Origin),
    ) -> Result<WorkerActorState, ActorProcessingErr> {
        let view = WorkerView {
            worker: place.id.clone(),
            pid: 0,
            service: place.service,
            state: WorkerState::Starting,
            in_flight: 0,
            completed: 0,
            may_repeat: place.may_repeat,
            since: Instant::now(),
            memory_limit: place.memory_limit,
        };
        place.context.view(|views| {
            views.insert(place.id.clone(), (view, myself.clone()));
        });
        let guard = ViewGuard { context: Arc::clone(&place.context), id: place.id.clone() };
        myself.cast(WorkerMessage::Start(origin))?;
        Ok(WorkerActorState {
            place,
            process: None,
            in_flight: 0,
            loaded: false,
            failure: None,
            leaving: false,
            finishing: false,
            since: Instant::now(),
            _view: guard,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<WorkerMessage>,
        message: WorkerMessage,
        state: &mut WorkerActorState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            WorkerMessage::Start(origin) => state.start(&myself, origin).await,
            WorkerMessage::Execute(examples) => state.execute(examples).await,
            WorkerMessage::Calls(calls) => state.call(calls).await,
            WorkerMessage::Define(define) => state.send(&ToWorker::Define(define)).await,
            WorkerMessage::Answer(answer) => state.send(&ToWorker::Answer(answer)).await,
            WorkerMessage::Recall => state.send(&ToWorker::Recall).await,
            WorkerMessage::Event(event) => state.event(&myself, event),
            WorkerMessage::Ping => state.ping(),
            WorkerMessage::Threads(count) => state.send(&ToWorker::Threads(Threads { count })).await,
            WorkerMessage::Leave { replace } => state.leave(replace),
            WorkerMessage::LoadLimit(limit) if !state.loaded => {
                state.give_up(format!("the worker was still loading after {} s", limit.as_secs_f64()), None);
            }
            WorkerMessage::LoadLimit(_) => {}
            WorkerMessage::BeyondMemory => {
                let limit = state.place.memory_limit.unwrap_or_default();
                state.give_up(beyond_limit(limit), None);
            }
            WorkerMessage::Finish => state.finish(&myself),
            WorkerMessage::Kill => state.kill(),
        }
        Ok(())
    }
}

impl WorkerActorState {
    fn ready(&mut self, sources: Option<BTreeMap<String, String>>) {
        self.loaded = true;
        metering::worker_started(self.since.elapsed());
        self.show(|view| view.state = WorkerState::Ready);
        self.report(WorkerReport::Ready(sources));
    }

    fn serving(&mut self) {
        self.loaded = true;
        metering::worker_started(self.since.elapsed());
        self.show(|view| view.state = WorkerState::Ready);
        self.report(WorkerReport::Serving);
    }

    fn leave(&mut self, replace: bool) {
        self.leaving = true;
        self.show(|view| view.state = WorkerState::Draining);
        self.report(WorkerReport::Leave { replace });
    }

    /// The kernel ended it for its memory.
    fn was_out_of_memory(&self) -> bool {
        let limit = self.process.as_ref().and_then(|process| process.memory.as_ref());
        limit.is_some_and(|(limit, _)| limit.killed_one())
    }

    fn kill(&self) {
        if let Some(process) = &self.process {
            process.handle.kill();
        }
    }

    fn give_up(&mut self, why: String, refused: Option<SubmitError>) {
        self.failure = Some((why, refused));
        self.kill();
    }

    fn finish(&mut self, myself: &ActorRef<WorkerMessage>) {
        self.finishing = true;
        match &self.process {
            Some(process) if process.handle.try_send(&ToWorker::Stop).is_ok() => {
                myself.send_after(FINISH_LIMIT, || WorkerMessage::Kill);
            }
            Some(process) => process.handle.kill(),
            None => myself.stop(None),
        }
    }

    async fn execute(&mut self, examples: Vec<Example>) {
        self.in_flight += examples.len();
        self.show_load(0);
        for examples in frames(examples, |example| example.row.len()) {
            self.send(&ToWorker::Execute(Execute { examples })).await;
        }
    }

    async fn call(&mut self, calls: Vec<Call>) {
        self.in_flight += calls.len();
        self.show_load(0);
        for calls in frames(calls, |call| call.arguments.len()) {
            self.send(&ToWorker::Calls(Calls { calls })).await;
        }
    }

    async fn send(&self, message: &ToWorker) {
        let Some(process) = &self.process else { return };
        // A worker that has ended: its end is an event on its way.
        if let Err(SendError::Frame(error)) = process.handle.send(message).await {
            error!(worker = %self.place.id, %error, "a message cannot be sent; its worker is replaced");
            process.handle.kill();
        }
    }

    /// A queue that is full is no answer either.
    fn ping(&self) {
        if let Some(process) = &self.process {
            let _ = process.handle.try_send(&ToWorker::Ping(Ping { payload: Bytes::new() }));
        }
    }

    fn event(&mut self, myself: &ActorRef<WorkerMessage>, event: WorkerEvent) {
        match event {
            WorkerEvent::Frame(FromWorker::Loaded(loaded)) => self.ready(Some(loaded.sources)),
            WorkerEvent::Frame(FromWorker::LoadFailed(failed)) => {
                self.give_up(failed.message.clone(), Some(failed.into()));
            }
            WorkerEvent::Frame(FromWorker::Results(results)) => {
                self.done(results.results.len());
                self.report(WorkerReport::Results(results.results));
            }
            WorkerEvent::Frame(FromWorker::Replies(replies)) => {
                self.done(replies.replies.len());
                self.report(WorkerReport::Replies(replies.replies));
            }
            WorkerEvent::Frame(FromWorker::Returned(returned)) => {
                self.in_flight = self.in_flight.saturating_sub(returned.calls.len());
                self.show_load(0);
                self.report(WorkerReport::Returned(returned.calls));
            }
            WorkerEvent::Frame(FromWorker::Serving(_)) => self.serving(),
            WorkerEvent::Frame(FromWorker::Ask(ask)) => self.report(WorkerReport::Ask(ask)),
            WorkerEvent::Frame(FromWorker::Fatal(fatal)) => self.report(WorkerReport::Fatal(fatal)),
            WorkerEvent::Frame(FromWorker::Pong(_)) => self.report(WorkerReport::Answers),
            // Said before the load.
            WorkerEvent::Frame(FromWorker::Hello(_) | FromWorker::Rows(_)) => {}
            WorkerEvent::Ended(ended) => {
                let output = self.process.as_ref().map(|process| process.handle.output().text());
                let mut end = WorkerEnd::new(&ended, output.unwrap_or_default());
                if self.failure.is_none() && self.was_out_of_memory() {
                    self.failure = Some((beyond_limit(self.place.memory_limit.unwrap_or_default()), None));
                }
                if let Some((message, refused)) = self.failure.take() {
                    end = WorkerEnd { message, by: EndedBy::Itself, refused, ..end };
                }
                self.end(myself, end);
            }
        }
    }

    fn end(&mut self, myself: &ActorRef<WorkerMessage>, end: WorkerEnd) {
        // One that found no room has never begun.
        if end.refused.as_ref().is_none_or(|refused| refused.kind != SubmitErrorKind::PoolFull) {
            metering::worker_ended(end.by, self.finishing);
        }
        self.report(WorkerReport::Ended(end));
        myself.stop(None);
    }

    fn report(&self, report: WorkerReport) {
        let told = self.place.owner.tell(self.place.key, report);
        if !told && !self.finishing {
            // Its owner is gone without a word, so what it executes is for nobody.
            self.kill();
        }
    }

    fn done(&mut self, count: usize) {
        self.in_flight = self.in_flight.saturating_sub(count);
        self.show_load(count);
    }

    fn show(&self, change: impl FnOnce(&mut WorkerView)) {
        self.place.context.view(|views| {
            if let Some((view, _)) = views.get_mut(&self.place.id) {
                change(view);
            }
        });
    }

    fn show_load(&self, completed: usize) {
        let (in_flight, leaving) = (self.in_flight, self.leaving);
        self.show(|view| {
            view.in_flight = in_flight;
            view.completed += completed as u64;
            view.state = match (leaving, in_flight) {
                (true, _) => WorkerState::Draining,
                (false, 0) => WorkerState::Ready,
                (false, _) => WorkerState::Busy,
            };
        });
    }
}

impl WorkerEnd {
    fn new(ended: &Ended, output: String) -> Self {
        let by = match ended.reason {
            EndReason::Killed | EndReason::Unreported => EndedBy::Node,
            EndReason::ZygoteEnded(_) => EndedBy::Zygote,
            EndReason::Exited | EndReason::ClosedSocket | EndReason::Malformed(_) | EndReason::BeyondLimit(_) => {
                EndedBy::Itself
            }
        };
        Self { message: ended.to_string(), output, by, refused: None }
    }
}

/// Long orders go in several frames: each frame has a limit.
fn frames<T>(orders: Vec<T>, length: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut frames: Vec<Vec<T>> = Vec::new();
    let mut bytes = FRAME_ROWS_BYTES;
    for order in orders {
        bytes += length(&order);
        match frames.last_mut() {
            Some(frame) if bytes <= FRAME_ROWS_BYTES => frame.push(order),
            _ => {
                bytes = length(&order);
                frames.push(vec![order]);
            }
        }
    }
    frames
}
