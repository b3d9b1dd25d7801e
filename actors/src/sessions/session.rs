//! A Session actor: executes for one session, one call after the other, on a worker of its own.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use dspex_model::SessionId;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use ractor_cluster::RactorMessage;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::execution;
use super::warm::Warm;
use super::{AtHome, ExecuteError, ExecuteRequest};
use crate::context::NodeContext;
use crate::pool::{CallError, Pool, PoolArguments, PoolClass, PoolSettings};
use crate::pools::{is_same, with_settings};
use crate::submission::Caller;

/// Without an execution for so long, a session goes to sleep: its actor and its worker end.
const SLEEPS_AFTER: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_secs(15);

#[derive(Debug, RactorMessage)]
pub(crate) enum SessionMessage {
    Execute(Box<Order>),
    /// Somebody else needs the place of its worker.
    Cool,
    /// Nobody may have asked for a while.
    IdleCheck,
}

/// An execution at home.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) request: ExecuteRequest,
    pub(crate) reply: oneshot::Sender<AtHome>,
    /// In the session's queue.
    pub(crate) _place: Option<OwnedSemaphorePermit>,
}

pub(crate) struct SessionActor;

pub(crate) struct SessionState {
    context: Arc<NodeContext>,
    warm: Warm,
    worker: Option<Worker>,
    last: Instant,
}

/// A pool of one worker.
struct Worker {
    pool: Pool,
    caller: Arc<Caller>,
    /// While it does nothing.
    rests: Option<u64>,
    _place: OwnedSemaphorePermit,
}

impl SessionState {
    async fn execute(&mut self, myself: &ActorRef<SessionMessage>, order: Order) {
        let Order { request, reply, .. } = order;
        // Whoever asked may have gone while it waited.
        if reply.is_closed() {
            return;
        }
        // The execution before this one has ended, so nothing is executed twice when another node takes the session.
        if self.context.draining.is_on() {
            let _ = reply.send(AtHome::Failed(Box::new(ExecuteError::Call(CallError::Draining))));
            return;
        }
        let answer = match execution::prepare(&self.context, &request).await {
            Err(answer) => answer,
            Ok(prepared) => match self.pool(myself, &request).await {
                Err(error) => AtHome::Failed(Box::new(ExecuteError::Call(error))),
                Ok(pool) => execution::execute(&self.context, &pool, request, prepared).await,
            },
        };
        let _ = reply.send(answer);
        self.rest(myself);
    }

    /// Its worker, with the environment of whoever asks.
    async fn pool(&mut self, myself: &ActorRef<SessionMessage>, request: &ExecuteRequest) -> Result<Pool, CallError> {
        let settings = settings(&self.context);
        let own = self.context.parts.pools.own.clone();
        let Some(caller) = own.or_else(|| request.caller.clone()) else { return Err(CallError::Stopping) };
        let caller = with_settings(&caller, settings.python.as_ref(), settings.directory.as_ref());
        if let Some(worker) = &mut self.worker
            && is_same(&worker.caller, &caller)
        {
            if let Some(number) = worker.rests.take() {
                self.warm.is_used(number);
            }
            return Ok(worker.pool.clone());
        }
        self.cool();
        let limit = request.call.queue_timeout.unwrap_or(settings.queue_timeout);
        let waited = tokio::time::timeout(limit, self.warm.place()).await;
        let class = PoolClass::General;
        let none = || CallError::QueueTimeout { pool: "of sessions".to_owned(), limit, busy: 0, workers: 0 };
        let place = waited.map_err(|_| none())?.ok_or(CallError::Stopping)?;
        let arguments = PoolArguments {
            context: Arc::clone(&self.context),
            class,
            settings,
            caller: Arc::clone(&caller),
            refused: Arc::new(AtomicU64::new(0)),
        };
        let pool = Pool::spawn(arguments, myself.get_cell()).await.map_err(|_| CallError::Stopping)?;
        self.worker = Some(Worker { pool: pool.clone(), caller, rests: None, _place: place });
        Ok(pool)
    }

    fn rest(&mut self, myself: &ActorRef<SessionMessage>) {
        self.last = Instant::now();
        let Some(worker) = &mut self.worker else { return };
        match self.warm.rests(myself.clone()) {
            Some(number) => worker.rests = Some(number),
            None => self.cool(),
        }
    }

    /// Lets go of its worker: the next execution gets another one.
    fn cool(&mut self) {
        if let Some(worker) = self.worker.take() {
            if let Some(number) = worker.rests {
                self.warm.is_used(number);
            }
            worker.pool.stop();
        }
    }
}

/// With a single worker, that the session ends itself.
fn settings(context: &NodeContext) -> PoolSettings {
    let set = context.parts.pools.sessions.clone();
    PoolSettings { workers: 1, threads: 1, idle_timeout: None, eager: false, ..set }
}

impl Actor for SessionActor {
    type Msg = SessionMessage;
    type State = SessionState;
    type Arguments = (Arc<NodeContext>, Warm, SessionId);

    async fn pre_start(
        &self,
        myself: ActorRef<SessionMessage>,
        (context, warm, _): Self::Arguments,
    ) -> Result<SessionState, ActorProcessingErr> {
        myself.send_interval(LOOK_EVERY, || SessionMessage::IdleCheck);
        Ok(SessionState { context, warm, worker: None, last: Instant::now() })
    }

    async fn handle(
        &self,
        myself: ActorRef<SessionMessage>,
        message: SessionMessage,
        state: &mut SessionState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SessionMessage::Execute(order) => state.execute(&myself, *order).await,
            SessionMessage::Cool => state.cool(),
            SessionMessage::IdleCheck if state.last.elapsed() >= SLEEPS_AFTER || state.context.draining.is_on() => {
                myself.stop(None);
            }
            SessionMessage::IdleCheck => {}
        }
        Ok(())
    }

    /// A pool that has ended is started anew by the next execution.
    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<SessionMessage>,
        event: SupervisionEvent,
        state: &mut SessionState,
    ) -> Result<(), ActorProcessingErr> {
        let (SupervisionEvent::ActorTerminated(cell, ..) | SupervisionEvent::ActorFailed(cell, _)) = event else {
            return Ok(());
        };
        if state.worker.as_ref().is_some_and(|worker| worker.pool.id() == cell.get_id()) {
            state.cool();
        }
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<SessionMessage>, state: &mut SessionState) -> Result<(), ActorProcessingErr> {
        state.cool();
        Ok(())
    }
}
