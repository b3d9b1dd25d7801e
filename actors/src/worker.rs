//! A Worker actor for each Python process: forks it, tells it what to load, passes orders down and reports up.
//!
//! It decides nothing. When it dies its process dies with it, and its evaluation hears of one end, however it came.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dspex_model::RunId;
use dspex_python::protocol::{Example, ExampleResult, Execute, Fatal, FromWorker, Load, Ping, ToWorker};
use dspex_python::{EndReason, Ended, OutputLine, SendError, WorkerEvent, WorkerHandle, WorkerProcess};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc;
use tracing::error;

use crate::board::{Board, BoardEvent};
use crate::context::NodeContext;
use crate::evaluation::{EvaluationMessage, WorkerKey};
use crate::submission::Caller;

/// Rows in one frame to a worker, unless a single one is longer; well below the limit of a frame.
const FRAME_ROWS_BYTES: usize = 8 << 20;

/// A program may load models while it is imported.
pub(crate) const LOAD_LIMIT: Duration = Duration::from_secs(600);
/// For what a program does at its end (`atexit`, files that are flushed), after its last example.
const FINISH_LIMIT: Duration = Duration::from_secs(2);

/// A worker as people see it.
#[derive(Clone, Debug)]
pub struct WorkerView {
    /// Its id.
    pub worker: String,
    /// Its process; 0 before there is one.
    pub pid: u32,
    /// The run it serves.
    pub run: RunId,
    /// What it does.
    pub state: WorkerState,
    /// Examples it was given and has not reported.
    pub in_flight: usize,
    /// Examples it has reported.
    pub completed: u64,
}

/// What a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerState {
    /// Waits for capacity, a zygote or its fork.
    Starting,
    /// Imports the program.
    Loading,
    /// Idle.
    Ready,
    /// Executes.
    Busy,
}

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
}

/// Whose doing the end of a worker was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndedBy {
    /// Its own, so perhaps its program's.
    Itself,
    /// The node's: nobody is charged.
    Node,
    /// Its zygote's, which ended before it.
    Zygote,
}

/// A process that has already loaded the program: the one that checked a submission.
#[derive(Debug)]
pub(crate) struct LoadedProcess {
    pub process: WorkerProcess,
    pub permit: OwnedSemaphorePermit,
    pub threads: u32,
}

/// What a worker starts from.
#[derive(Debug)]
pub(crate) enum Origin {
    Loaded(LoadedProcess),
    Launch { caller: Arc<Caller>, load: Load },
}

/// Where a worker belongs.
pub(crate) struct WorkerPlace {
    pub context: Arc<NodeContext>,
    pub key: WorkerKey,
    pub id: String,
    pub run: RunId,
    pub owner: ActorRef<EvaluationMessage>,
    pub board: Arc<Board>,
}

#[derive(Debug)]
pub(crate) enum WorkerMessage {
    /// First, sent by the actor to itself: starting takes time, and its pool must not wait for it.
    Start(Origin),
    Execute(Vec<Example>),
    Event(WorkerEvent),
    /// Asks whether the interpreter answers.
    Ping,
    /// The program has had its time to load.
    LoadLimit,
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
    failure: Option<String>,
    finishing: bool,
    _view: ViewGuard,
}

/// Dropping it gives the process up: the package kills it.
struct RunningProcess {
    handle: WorkerHandle,
    _pumps: [AbortOnDrop; 2],
    _permit: OwnedSemaphorePermit,
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
            run: place.run,
            state: WorkerState::Starting,
            in_flight: 0,
            completed: 0,
        };
        place.context.view(|views| {
            views.insert(place.id.clone(), view);
        });
        let guard = ViewGuard { context: Arc::clone(&place.context), id: place.id.clone() };
        myself.cast(WorkerMessage::Start(origin))?;
        Ok(WorkerActorState {
            place,
            process: None,
            in_flight: 0,
            loaded: false,
            failure: None,
            finishing: false,
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
            WorkerMessage::Event(event) => state.event(&myself, event),
            WorkerMessage::Ping => state.ping(),
            WorkerMessage::LoadLimit if !state.loaded => {
                state.give_up(format!("the program was still loading after {} s", LOAD_LIMIT.as_secs()));
            }
            WorkerMessage::LoadLimit => {}
            WorkerMessage::Finish => state.finish(&myself),
            WorkerMessage::Kill => state.kill(),
        }
        Ok(())
    }
}

impl WorkerActorState {
    async fn start(&mut self, myself: &ActorRef<WorkerMessage>, origin: Origin) {
        match origin {
            Origin::Loaded(LoadedProcess { process, permit, .. }) => {
                self.adopt(myself, process, permit);
                self.ready(None);
            }
            Origin::Launch { caller, load } => match self.launch(&caller, load).await {
                Ok((process, permit)) => {
                    self.adopt(myself, process, permit);
                    self.show(|view| view.state = WorkerState::Loading);
                    myself.send_after(LOAD_LIMIT, || WorkerMessage::LoadLimit);
                }
                Err(error) => {
                    let end = WorkerEnd { message: error.to_string(), output: String::new(), by: EndedBy::Node };
                    self.end(myself, end);
                }
            },
        }
    }

    /// Waits for capacity, behind those that asked before, then forks and says what to load.
    async fn launch(
        &self,
        caller: &Caller,
        load: Load,
    ) -> Result<(WorkerProcess, OwnedSemaphorePermit), Box<dyn std::error::Error + Send + Sync>> {
        let context = &self.place.context;
        let permit = Arc::clone(&context.capacity).acquire_owned().await?;
        let zygote = context.parts.zygotes.zygote(&caller.interpreter, &caller.environment).await?;
        let process = zygote.fork(&self.place.id, &caller.environment, &caller.directory, "worker").await?;
        process.handle.send(&ToWorker::Load(Box::new(load))).await?;
        Ok((process, permit))
    }

    fn adopt(&mut self, myself: &ActorRef<WorkerMessage>, process: WorkerProcess, permit: OwnedSemaphorePermit) {
        let WorkerProcess { handle, events, lines } = process;
        let pid = handle.pid();
        self.show(|view| view.pid = pid);
        let board = Arc::clone(&self.place.board);
        let pumps = [
            AbortOnDrop(tokio::spawn(pump_events(myself.clone(), events))),
            AbortOnDrop(tokio::spawn(pump_lines(handle.clone(), board, lines))),
        ];
        self.process = Some(RunningProcess { handle, _pumps: pumps, _permit: permit });
    }

    fn ready(&mut self, sources: Option<BTreeMap<String, String>>) {
        self.loaded = true;
        self.show(|view| view.state = WorkerState::Ready);
        self.report(WorkerReport::Ready(sources));
    }

    fn kill(&self) {
        if let Some(process) = &self.process {
            process.handle.kill();
        }
    }

    fn give_up(&mut self, why: String) {
        self.failure = Some(why);
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
        let Some(process) = &self.process else { return };
        for examples in frames(examples) {
            // A worker that has ended: its end is an event on its way.
            if let Err(SendError::Frame(error)) = process.handle.send(&ToWorker::Execute(Execute { examples })).await {
                error!(worker = %self.place.id, %error, "an example cannot be sent; its worker is replaced");
                process.handle.kill();
            }
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
            WorkerEvent::Frame(FromWorker::LoadFailed(failed)) => self.give_up(failed.message),
            WorkerEvent::Frame(FromWorker::Results(results)) => {
                let count = results.results.len();
                self.in_flight = self.in_flight.saturating_sub(count);
                self.show_load(count);
                self.report(WorkerReport::Results(results.results));
            }
            WorkerEvent::Frame(FromWorker::Fatal(fatal)) => self.report(WorkerReport::Fatal(fatal)),
            WorkerEvent::Frame(FromWorker::Pong(_)) => self.report(WorkerReport::Answers),
            // Said before the load.
            WorkerEvent::Frame(FromWorker::Hello(_) | FromWorker::Rows(_)) => {}
            WorkerEvent::Ended(ended) => {
                let output = self.process.as_ref().map(|process| process.handle.output().text());
                let mut end = WorkerEnd::new(&ended, output.unwrap_or_default());
                if let Some(failure) = self.failure.take() {
                    end = WorkerEnd { message: failure, by: EndedBy::Itself, ..end };
                }
                self.end(myself, end);
            }
        }
    }

    fn end(&mut self, myself: &ActorRef<WorkerMessage>, end: WorkerEnd) {
        self.report(WorkerReport::Ended(end));
        myself.stop(None);
    }

    fn report(&self, report: WorkerReport) {
        let told = self.place.owner.cast(EvaluationMessage::Worker(self.place.key, report));
        if told.is_err() && !self.finishing {
            // Its evaluation is gone without a word, so what it executes is for nobody.
            self.kill();
        }
    }

    fn show(&self, change: impl FnOnce(&mut WorkerView)) {
        self.place.context.view(|views| {
            if let Some(view) = views.get_mut(&self.place.id) {
                change(view);
            }
        });
    }

    fn show_load(&self, completed: usize) {
        let in_flight = self.in_flight;
        self.show(|view| {
            view.in_flight = in_flight;
            view.completed += completed as u64;
            view.state = if in_flight == 0 { WorkerState::Ready } else { WorkerState::Busy };
        });
    }
}

impl WorkerEnd {
    fn new(ended: &Ended, output: String) -> Self {
        let by = match ended.reason {
            EndReason::Killed | EndReason::Unreported => EndedBy::Node,
            EndReason::ZygoteEnded(_) => EndedBy::Zygote,
            EndReason::Exited | EndReason::ClosedSocket | EndReason::Malformed(_) => EndedBy::Itself,
        };
        Self { message: ended.to_string(), output, by }
    }
}

/// Long rows go in several frames: each frame has a limit.
fn frames(examples: Vec<Example>) -> Vec<Vec<Example>> {
    let mut frames: Vec<Vec<Example>> = Vec::new();
    let mut bytes = FRAME_ROWS_BYTES;
    for example in examples {
        bytes += example.row.len();
        match frames.last_mut() {
            Some(frame) if bytes <= FRAME_ROWS_BYTES => frame.push(example),
            _ => {
                bytes = example.row.len();
                frames.push(vec![example]);
            }
        }
    }
    frames
}

async fn pump_events(worker: ActorRef<WorkerMessage>, mut events: mpsc::Receiver<WorkerEvent>) {
    while let Some(event) = events.recv().await {
        if worker.cast(WorkerMessage::Event(event)).is_err() {
            return;
        }
    }
}

async fn pump_lines(handle: WorkerHandle, board: Arc<Board>, mut lines: mpsc::Receiver<OutputLine>) {
    let mut told = 0;
    while let Some(OutputLine(text)) = lines.recv().await {
        let dropped = handle.output().dropped_bytes();
        let dropped_bytes = dropped.saturating_sub(told);
        told = dropped;
        board.publish(BoardEvent::Output { worker: handle.id().to_owned(), text, dropped_bytes });
    }
}
