//! A pool: a Pool actor for each workload class and environment in use. It queues calls, gives them to its workers, and keeps
//! its workers alive.
//!
//! A call takes the way caller → Pool → Worker → process and back. Nobody gathers calls by waiting: what has come in while the
//! actors were busy travels together, so an idle pool answers at once and a busy one in large batches.

mod call;
mod members;
mod plan;
mod service;
mod settings;
mod window;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use dspex_telemetry::{TRACE_TARGET, set_parent, span, span_traceparent};
use futures::future::Either;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use ractor_cluster::RactorMessage;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tracing::Instrument;
use tracing::field::Empty;

use crate::context::NodeContext;
use crate::executions::{CallUnderWay, CalledBy, Executions};
use crate::submission::Caller;
use crate::worker::{EndedBy, WorkerEnd, WorkerReport};

pub use call::{CallError, CallProgram, CallReply, CallRequest};
pub use settings::{PoolClass, PoolSettings, RecordedCalls};
pub use window::{Health, HealthStatus};

pub(crate) use call::{CallTiming, EXECUTE_PROGRAM};
pub(crate) use plan::WorkerKey;
use service::Service;

/// Arguments of one call; a frame holds 32 MiB.
const ARGUMENTS_MAX: usize = 16 << 20;
/// Deadlines are judged this often while there is something to judge.
const TICK_EVERY: Duration = Duration::from_millis(5);

/// How many workers do what, and what became of the requests.
#[derive(Clone, Debug)]
pub struct PoolStats {
    /// Its class.
    pub class: PoolClass,
    /// Its Python.
    pub interpreter: String,
    /// Where its workers start.
    pub directory: String,
    /// Ready ones.
    pub workers: usize,
    /// On their way.
    pub starting: usize,
    /// Of the ready ones, those that would take a call at once.
    pub available: usize,
    /// Of the ready ones, those that execute.
    pub busy: usize,
    /// Places that were emptied by `drain`.
    pub drained: usize,
    /// Calls that wait.
    pub queued: usize,
    /// Calls that workers hold.
    pub in_flight: usize,
    /// Calls since the pool began.
    pub requests: u64,
    /// Of these, failed: raised, lost or too slow.
    pub errors: u64,
    /// Of these, no worker in time.
    pub queue_timeouts: u64,
    /// Refused because the queue was full; not counted as requests.
    pub refused: u64,
    /// Workers that were started in place of others.
    pub restarts: u64,
    /// How it is.
    pub health: Health,
}

#[derive(Debug, RactorMessage)]
pub(crate) enum PoolMessage {
    /// A call that has its place in the queue.
    Call(Box<Pending>),
    /// Calls have come: sent by the pool to itself, so that it lands behind all that have.
    Dispatch,
    /// From one of its workers.
    Worker(WorkerKey, WorkerReport),
    /// Start the workers now.
    Start,
    /// Time to look at deadlines.
    Tick,
    /// A replacement's back-off is over.
    SpawnWorker,
    /// Nobody may have called for a while.
    IdleCheck,
    /// Its class may have places again for workers that found none.
    SeekPlaces,
    /// Another pool waits for places that this one may not need.
    GiveWay,
    /// How it is.
    Stats(oneshot::Sender<PoolStats>),
    /// Fill the place of a drained worker; whether there is one of this id.
    Refill(String, oneshot::Sender<bool>),
    /// The ids of drained workers.
    Drained(oneshot::Sender<Vec<String>>),
}

/// A call on its way.
#[derive(Debug)]
pub(crate) struct Pending {
    pub request: CallRequest,
    pub reply: oneshot::Sender<Result<CallReply, CallError>>,
    pub since: Instant,
    /// Told when the call has ended, if somebody wants to know.
    pub timing: Option<Arc<OnceLock<CallTiming>>>,
    /// Its place in the queue.
    pub _place: OwnedSemaphorePermit,
}

/// What a pool is started with.
#[derive(Clone, Debug)]
pub(crate) struct PoolArguments {
    pub context: Arc<NodeContext>,
    pub class: PoolClass,
    pub settings: PoolSettings,
    pub caller: Arc<Caller>,
    pub refused: Arc<std::sync::atomic::AtomicU64>,
}

/// A handle to a pool; clones are the same one.
#[derive(Clone, Debug)]
pub struct Pool {
    actor: ActorRef<PoolMessage>,
    class: PoolClass,
    settings: Arc<PoolSettings>,
    places: Arc<Semaphore>,
    refused: Arc<std::sync::atomic::AtomicU64>,
    executions: Executions,
}

impl Pool {
    pub(crate) async fn spawn(
        arguments: PoolArguments,
        supervisor: ractor::ActorCell,
    ) -> Result<Self, ractor::SpawnErr> {
        let PoolArguments { class, ref settings, ref refused, .. } = arguments;
        let places = places(settings);
        let (settings, refused) = (Arc::new(settings.clone()), Arc::clone(refused));
        let executions = arguments.context.executions.clone();
        let (actor, _) = Actor::spawn_linked(None, PoolActor, arguments, supervisor).await?;
        Ok(Self { actor, class, settings, places: Arc::new(Semaphore::new(places)), refused, executions })
    }

    /// Calls a command, waits for the answer. Dropping the future gives the call up as long as it waits in the queue.
    ///
    /// # Errors
    /// See [`CallError`]. At once when the queue is full, and never later than the call's two limits allow, for each of its
    /// executions.
    pub async fn call(&self, request: CallRequest) -> Result<CallReply, CallError> {
        self.begin(request).await
    }

    /// The same; the call has its place in the queue when this returns.
    pub fn begin(&self, request: CallRequest) -> impl Future<Output = Result<CallReply, CallError>> + Send + use<> {
        self.begin_timed(request, None)
    }

    /// The same, and the execution is recorded where the pool's settings say so. Nobody waits for the record, but where too many of
    /// them wait for the log, the answer waits a little. `by`: on whose account.
    pub(crate) fn begin_recorded(
        &self,
        request: CallRequest,
        by: CalledBy,
    ) -> impl Future<Output = Result<CallReply, CallError>> + Send + use<> {
        if !self.settings.record.covers(&request.command) {
            return Either::Left(self.begin(request));
        }
        let (under_way, timing) = CallUnderWay::new(self.executions.clone(), &request, by);
        Either::Right(under_way.follow(self.begin_timed(request, Some(timing))))
    }

    fn begin_timed(
        &self,
        mut request: CallRequest,
        timing: Option<Arc<OnceLock<CallTiming>>>,
    ) -> impl Future<Output = Result<CallReply, CallError>> + Send + use<> {
        let span = span!(
            "dspex.pool.request",
            otel.kind = "server",
            dspex.pool = self.class.name(),
            dspex.command = request.command,
            dspex.worker = Empty,
            dspex.queued_ms = Empty,
        );
        if !span.is_disabled() {
            if let Some(traceparent) = &request.traceparent {
                set_parent(&span, traceparent);
            }
            // What the call's own code opens hangs beneath this.
            request.traceparent = span_traceparent(&span);
        }
        let queued = self.enqueue(request, timing);
        let told = span.clone();
        let answer = async move {
            let answer = match queued {
                Ok(answer) => answer.await.unwrap_or(Err(CallError::Stopping)),
                Err(error) => Err(error),
            };
            match &answer {
                Ok(reply) => {
                    told.record("dspex.worker", &reply.worker);
                    told.record("dspex.queued_ms", reply.queued.as_secs_f64() * 1000.0);
                }
                Err(error) => tracing::error!(target: TRACE_TARGET, %error, "the call failed"),
            }
            answer
        };
        answer.instrument(span)
    }

    fn enqueue(
        &self,
        request: CallRequest,
        timing: Option<Arc<OnceLock<CallTiming>>>,
    ) -> Result<oneshot::Receiver<Result<CallReply, CallError>>, CallError> {
        if request.arguments.len() > ARGUMENTS_MAX {
            return Err(CallError::TooLong(request.arguments.len()));
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            return Err(CallError::Full { pool: self.class.name().to_owned(), queued: self.settings.queue_max });
        };
        let (reply, answer) = oneshot::channel();
        let pending = Pending { request, reply, since: Instant::now(), timing, _place: place };
        self.actor.cast(PoolMessage::Call(Box::new(pending))).map_err(|_| CallError::Stopping)?;
        Ok(answer)
    }

    /// How it is.
    ///
    /// # Errors
    /// When the pool is stopping.
    pub async fn stats(&self) -> Result<PoolStats, CallError> {
        self.ask(PoolMessage::Stats).await
    }

    /// Starts its workers without waiting for a call.
    pub fn start(&self) {
        // A pool that is gone is started anew when it is asked for again.
        let _ = self.actor.cast(PoolMessage::Start);
    }

    /// What was set for it.
    pub fn settings(&self) -> &PoolSettings {
        &self.settings
    }

    /// Its class.
    pub fn class(&self) -> PoolClass {
        self.class
    }

    /// Nobody's call is in it.
    pub(crate) fn is_unused(&self) -> bool {
        self.places.available_permits() == places(&self.settings)
    }

    /// Another pool of its class waits for a place: it gives back those of its workers that have nothing to do.
    pub(crate) fn give_way(&self) {
        // A pool that is gone has given its places back.
        let _ = self.actor.cast(PoolMessage::GiveWay);
    }

    pub(crate) fn stop(&self) {
        self.actor.stop(None);
    }

    pub(crate) fn id(&self) -> ractor::ActorId {
        self.actor.get_id()
    }

    pub(crate) async fn refill(&self, worker: String) -> bool {
        self.ask(|reply| PoolMessage::Refill(worker, reply)).await.unwrap_or(false)
    }

    pub(crate) async fn drained(&self) -> Vec<String> {
        self.ask(PoolMessage::Drained).await.unwrap_or_default()
    }

    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> PoolMessage) -> Result<T, CallError> {
        let (reply, answer) = oneshot::channel();
        self.actor.cast(message(reply)).map_err(|_| CallError::Stopping)?;
        answer.await.map_err(|_| CallError::Stopping)
    }
}

/// Calls that a pool holds at the most: those that are executed, and those that wait.
fn places(settings: &PoolSettings) -> usize {
    settings.queue_max as usize + settings.workers as usize * settings.threads as usize
}

pub(crate) struct PoolActor;

impl Actor for PoolActor {
    type Msg = PoolMessage;
    type State = Service;
    type Arguments = PoolArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<PoolMessage>,
        arguments: PoolArguments,
    ) -> Result<Service, ActorProcessingErr> {
        if let Some(idle) = arguments.settings.idle_timeout {
            myself.send_interval((idle / 4).max(Duration::from_millis(100)), || PoolMessage::IdleCheck);
        }
        Ok(Service::new(arguments, myself))
    }

    async fn handle(
        &self,
        _: ActorRef<PoolMessage>,
        message: PoolMessage,
        service: &mut Service,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            PoolMessage::Call(pending) => service.enqueue(*pending).await,
            PoolMessage::Dispatch => service.dispatch(),
            PoolMessage::Worker(key, report) => service.hear(key, report).await,
            PoolMessage::Start => service.start_workers().await,
            PoolMessage::SpawnWorker => service.pause_ended().await,
            PoolMessage::Tick => service.tick(),
            PoolMessage::IdleCheck => service.end_idle_workers(),
            PoolMessage::SeekPlaces => service.seek_places().await,
            PoolMessage::GiveWay => service.give_way(),
            PoolMessage::Stats(reply) => {
                // Whoever asked may be gone.
                let _ = reply.send(service.stats());
            }
            PoolMessage::Refill(worker, reply) => {
                let _ = reply.send(service.refill(&worker).await);
            }
            PoolMessage::Drained(reply) => {
                let _ = reply.send(service.drained.clone());
            }
        }
        Ok(())
    }

    /// A worker that stopped has reported its end; one that panicked or was killed has not. This news overtakes messages, so it
    /// goes to the end of the queue: behind the worker's own report, after which it is for an unknown key, and ignored.
    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<PoolMessage>,
        event: SupervisionEvent,
        service: &mut Service,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, message) = match event {
            SupervisionEvent::ActorTerminated(cell, ..) => (cell, "the worker's actor stopped".to_owned()),
            SupervisionEvent::ActorFailed(cell, error) => (cell, format!("the worker's actor failed: {error}")),
            _ => return Ok(()),
        };
        if let Some(key) = service.key_of(cell.get_id()) {
            let end = WorkerEnd { message, output: String::new(), by: EndedBy::Node, refused: None };
            // Fails only when this actor is stopping.
            let _ = myself.cast(PoolMessage::Worker(key, WorkerReport::Ended(end)));
        }
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<PoolMessage>, service: &mut Service) -> Result<(), ActorProcessingErr> {
        service.stop_workers();
        Ok(())
    }
}
