//! Executing in sessions: wherever it is asked for, at the session's home.
//!
//! The home is in the session's record, with an epoch. Nothing that counts is in it: the data is read from the log for each
//! execution and what was changed is written to the log, so a session moves by a command. A warm worker is a cache.

mod execution;
mod route;
mod session;
mod warm;

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dspex_model::{Command, NodeId, Outcome, Rejection, RequestId, SessionHome, SessionId, State};
use futures::future::BoxFuture;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use ractor_cluster::RactorMessage;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tracing::warn;

use crate::context::NodeContext;
use crate::pool::{CallError, CallRequest, PoolClass};
use crate::proposing::{By, propose};
use crate::submission::Caller;
use route::{Next, Step};
use session::{SessionActor, SessionMessage};
use warm::Warm;

pub(crate) use session::Order;

/// Executions of one session that wait or run at once; further ones are refused.
const QUEUE_MAX: usize = 100;
/// Homes that are asked for one execution: the one that is known, the one that has taken its place, and once more.
const HOPS_MAX: u32 = 4;
/// At a session that goes to sleep.
const ATTEMPTS_MAX: u32 = 5;
const PAUSE: Duration = Duration::from_millis(20);
/// For the record of a move that another node knows already to arrive here.
const ARRIVAL: Duration = Duration::from_secs(5);

/// An execution as it is asked for.
#[derive(Clone, Debug)]
pub struct ExecuteRequest {
    /// In which session.
    pub session: SessionId,
    /// The same request changes the session once.
    pub request: RequestId,
    /// Who asks: the name of a token or of the local user.
    pub actor: Option<String>,
    /// What is called. Its `session` is filled in at home.
    pub call: CallRequest,
    /// Of an embedded node: whose directory, environment and Python the worker has.
    pub caller: Option<Arc<Caller>>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Executed {
    /// JSON text; `None`: this is a repeated request whose result was too long to be kept.
    pub result: Option<Bytes>,
    /// The worker; empty for a repeated request.
    pub worker: String,
    /// Where it was executed.
    pub node: NodeId,
    /// How long it waited for the executions before it and for a worker.
    pub queued: Duration,
    /// How long it took in the worker.
    pub executed: Duration,
    /// Which execution it was, from 1.
    pub attempt: u32,
    /// The version that it made of the session; `None`: it has changed nothing.
    pub version: Option<u64>,
    /// The request had been executed before, and was not executed again.
    pub is_repeated: bool,
}

/// Why it was not executed, or has not counted.
#[derive(Debug)]
pub enum ExecuteError {
    /// In the pool or in the user's code.
    Call(CallError),
    /// The log refused it: no such session, or somebody else has written meanwhile.
    Rejected(Rejection),
    /// The log could not be read.
    Read(dspex_consensus::ReadError),
    /// The log could not be written: whether the change counts may be unknown.
    Write(dspex_consensus::ProposeError),
    /// The home did not answer, and what it has done is not known.
    Lost(String),
    /// The home was asked, and failed as it says.
    Remote(Arc<dyn Error + Send + Sync>),
    /// No node could be found that executes it.
    Homeless,
    /// As many wait for this session as may.
    Full(SessionId),
}

/// How another node is asked.
pub trait Remote: Send + Sync + fmt::Debug {
    /// Has it executed there, if that is the session's home.
    fn execute<'a>(&'a self, node: NodeId, request: &'a ExecuteRequest)
    -> BoxFuture<'a, Result<Executed, RemoteError>>;
}

/// What is wrong with the other node.
#[derive(Clone, Debug)]
pub enum RemoteError {
    /// It was not asked.
    Unreachable(String),
    /// It was asked and has not answered.
    Lost(String),
    /// It is not the session's home.
    Moved(SessionHome),
    /// It has answered that it failed, in the words of whoever speaks with it.
    Failed(Arc<dyn Error + Send + Sync>),
}

/// What the home finds before it executes.
#[derive(Debug)]
pub(crate) enum AtHome {
    Done(Box<Executed>),
    Moved(SessionHome),
    Failed(Box<ExecuteError>),
}

#[derive(Debug, RactorMessage)]
pub(crate) enum SessionsMessage {
    /// For a session whose home this node is.
    Order(Box<Order>),
}

/// A handle to the sessions of a node.
#[derive(Clone, Debug)]
pub struct Sessions {
    context: Arc<NodeContext>,
    actor: ActorRef<SessionsMessage>,
    /// Executions that are asked of this node as a home.
    under_way: Arc<AtomicUsize>,
}

impl Sessions {
    pub(crate) fn new(context: Arc<NodeContext>, actor: ActorRef<SessionsMessage>) -> Self {
        Self { context, actor, under_way: Arc::default() }
    }

    /// Waits until nothing is executed here, at most so long.
    pub async fn settle(&self, limit: Duration) {
        let settled = async {
            while self.under_way.load(Ordering::Acquire) > 0 {
                tokio::time::sleep(PAUSE).await;
            }
        };
        // Whoever is left is told that the node stops.
        let _ = tokio::time::timeout(limit, settled).await;
    }

    /// Executes at the session's home, wherever that is. Where the home is lost, another node takes its place: this one.
    ///
    /// # Errors
    /// See [`ExecuteError`].
    pub fn execute(&self, request: ExecuteRequest) -> BoxFuture<'_, Result<Executed, ExecuteError>> {
        Box::pin(async move {
            let own = self.context.parts.node;
            // What may be executed again after a crash may be executed again after the loss of its node.
            let may_repeat = request.call.retries != Some(0);
            let mut lost: Option<String> = None;
            let mut home = self.context.parts.consensus.read_stale(|state| home_of(state, &request.session));
            for _ in 0..HOPS_MAX {
                let step = match route::next(own, home) {
                    Next::Take { expected_epoch } => {
                        home = Some(self.take(&request, expected_epoch).await?);
                        continue;
                    }
                    Next::Here => Step::of_home(self.order(request.clone()).await)?,
                    Next::There { node } => Step::of_remote(self.context.parts.remote.execute(node, &request).await)?,
                };
                match step {
                    Step::Done(executed) => return Ok(*executed),
                    Step::Moved(there) => home = self.arrived(&request.session, there).await,
                    Step::NotAsked => home = Some(self.take(&request, home.map_or(0, |home| home.epoch)).await?),
                    Step::Lost(why) if may_repeat && lost.is_none() => {
                        warn!(session = %request.session, why, "the home of a session was lost with an execution");
                        lost = Some(why);
                        home = Some(self.take(&request, home.map_or(0, |home| home.epoch)).await?);
                    }
                    Step::Lost(why) => return Err(ExecuteError::Lost(why)),
                }
            }
            Err(lost.map_or(ExecuteError::Homeless, ExecuteError::Lost))
        })
    }

    /// As the home, for a peer that takes this node for it.
    pub fn execute_at_home(&self, request: ExecuteRequest) -> BoxFuture<'_, Result<Executed, AtHomeError>> {
        Box::pin(async move {
            match self.order(request).await {
                AtHome::Done(executed) => Ok(*executed),
                AtHome::Moved(home) => Err(AtHomeError::Moved(home)),
                AtHome::Failed(error) => Err(AtHomeError::Failed(*error)),
            }
        })
    }

    async fn order(&self, request: ExecuteRequest) -> AtHome {
        let _under_way = UnderWay::new(&self.under_way);
        // One that goes to sleep in this very moment drops what it is asked, and is woken by the next attempt.
        for attempt in 0..ATTEMPTS_MAX {
            if attempt > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            let (reply, answer) = oneshot::channel();
            let order = Order { request: request.clone(), reply, _place: None };
            if self.actor.cast(SessionsMessage::Order(Box::new(order))).is_err() {
                break;
            }
            if let Ok(answer) = answer.await {
                return answer;
            }
        }
        AtHome::Failed(Box::new(ExecuteError::Call(CallError::Stopping)))
    }

    /// This node takes the session over; whoever has it after that.
    async fn take(&self, request: &ExecuteRequest, expected_epoch: u64) -> Result<SessionHome, ExecuteError> {
        if self.context.draining.is_on() {
            return Err(ExecuteError::Call(CallError::Draining));
        }
        let (session, node) = (request.session.clone(), self.context.parts.node);
        let command = Command::HouseSession { session, node, expected_epoch };
        let by = By { request: None, actor: request.actor.clone() };
        // Proposed twice, it finds itself done.
        match propose(&self.context.parts.consensus, by, &command).await {
            Ok(Outcome::SessionHoused(home)) => Ok(home),
            Ok(Outcome::Rejected(rejection)) => Err(ExecuteError::Rejected(rejection)),
            Ok(other) => Err(ExecuteError::Lost(format!("the log answered {other:?} to a session's move"))),
            Err(error) => Err(ExecuteError::Write(error)),
        }
    }

    /// The home, where another node knows of a move that this one may not have heard of.
    async fn arrived(&self, session: &SessionId, there: SessionHome) -> Option<SessionHome> {
        let read = self.context.parts.consensus.read(|state| home_of(state, session));
        match tokio::time::timeout(ARRIVAL, read).await {
            Ok(Ok(home)) => home,
            _ => Some(there),
        }
    }
}

/// Counts for as long as it lives.
pub(crate) struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    pub(crate) fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Why a home did not execute for a peer.
#[derive(Debug)]
pub enum AtHomeError {
    /// It is none.
    Moved(SessionHome),
    /// It failed.
    Failed(ExecuteError),
}

fn home_of(state: &State, session: &SessionId) -> Option<SessionHome> {
    state.session(session)?.home
}

/// Supervises the Session actors of a node: one for each session in use whose home it is.
pub(crate) struct SessionsActor;

pub(crate) struct SessionsState {
    context: Arc<NodeContext>,
    warm: Warm,
    sessions: HashMap<SessionId, Held>,
}

struct Held {
    actor: ActorRef<SessionMessage>,
    places: Arc<Semaphore>,
}

impl SessionsState {
    async fn order(&mut self, myself: &ActorRef<SessionsMessage>, mut order: Order) -> Result<(), ActorProcessingErr> {
        let id = order.request.session.clone();
        if !self.sessions.contains_key(&id) {
            let arguments = (Arc::clone(&self.context), self.warm.clone(), id.clone());
            let (actor, _) = Actor::spawn_linked(None, SessionActor, arguments, myself.get_cell()).await?;
            self.sessions.insert(id.clone(), Held { actor, places: Arc::new(Semaphore::new(QUEUE_MAX)) });
        }
        let Some(held) = self.sessions.get(&id) else { return Ok(()) };
        match place(held) {
            Some(place) => {
                order._place = Some(place);
                // What it drops, its sender asks again.
                if held.actor.cast(SessionMessage::Execute(Box::new(order))).is_err() {
                    self.sessions.remove(&id);
                }
            }
            None => {
                let _ = order.reply.send(AtHome::Failed(Box::new(ExecuteError::Full(id))));
            }
        }
        Ok(())
    }
}

fn place(held: &Held) -> Option<OwnedSemaphorePermit> {
    Arc::clone(&held.places).try_acquire_owned().ok()
}

impl Actor for SessionsActor {
    type Msg = SessionsMessage;
    type State = SessionsState;
    type Arguments = Arc<NodeContext>;

    async fn pre_start(
        &self,
        _: ActorRef<SessionsMessage>,
        context: Arc<NodeContext>,
    ) -> Result<SessionsState, ActorProcessingErr> {
        let warm = Warm::among(context.bulkheads.of(PoolClass::General).places());
        Ok(SessionsState { context, warm, sessions: HashMap::new() })
    }

    async fn handle(
        &self,
        myself: ActorRef<SessionsMessage>,
        SessionsMessage::Order(order): SessionsMessage,
        state: &mut SessionsState,
    ) -> Result<(), ActorProcessingErr> {
        state.order(&myself, *order).await
    }

    /// A session that fails is started anew when it is asked for again: its callers ask again or are told.
    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<SessionsMessage>,
        event: SupervisionEvent,
        state: &mut SessionsState,
    ) -> Result<(), ActorProcessingErr> {
        let cell = match event {
            SupervisionEvent::ActorTerminated(cell, ..) => cell,
            SupervisionEvent::ActorFailed(cell, error) => {
                warn!(%error, "a session's actor failed");
                cell
            }
            _ => return Ok(()),
        };
        state.sessions.retain(|_, held| held.actor.get_id() != cell.get_id());
        Ok(())
    }
}
