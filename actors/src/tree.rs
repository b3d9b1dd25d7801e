//! The supervision tree of a node, on one screen:
//!
//! ```text
//! Tree (a handle)
//! └─ node                 NodeActor: its children's supervisor; a child that fails ends the node's process, loudly
//!    ├─ recorder          RecorderActor: results -> blobs and log
//!    ├─ pools             PoolsActor
//!    │  └─ pool           a PoolActor for each workload class and environment in use
//!    │     └─ workers     a WorkerActor for each Python process
//!    ├─ sessions          SessionsActor
//!    │  └─ session        a SessionActor for each session in use whose home is this node
//!    │     └─ pool        of one worker
//!    ├─ run workers       RunWorkersActor: the same for the workers of runs
//!    ├─ evaluations       EvaluationsActor
//!    │  └─ evaluation     an EvaluationActor for each run owned by this node
//!    ├─ hosting           HostingActor
//!    │  └─ hosted         a HostedActor for each run of another owner that has workers here
//!    ├─ links             LinksActor: lines to peers for orders and reports; ractor_cluster's server beneath it
//!    ├─ mirrors           a task for each run that is followed through this node
//!    ├─ executions        a task: executions of pools and sessions -> blobs and log
//!    └─ reconcile         a task: effects of the log -> evaluations
//! ```
//!
//! A worker's crash never reaches its pool, an evaluation's never its supervisor.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::PoisonError;
use std::time::Duration;

use dspex_consensus::{Consensus, ProposeError, ReadError};
use dspex_model::{Command, Digest, LineCursor, NodeId, Outcome, RunId};
use dspex_python::protocol::Answer;
use futures::future::{BoxFuture, Either};
use ractor::{Actor, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use ractor_cluster::RactorMessage;
use tracing::{debug, error, warn};

use crate::attendance::{self, Attendance};
use crate::board::Board;
use crate::capacity::keep_fair;
use crate::context::{NodeContext, NodeParts};
use crate::draining::{leave, watch_draining};
use crate::environments::EnvironmentView;
use crate::error::SubmitError;
use crate::evaluations::{EvaluationsActor, EvaluationsArguments, EvaluationsMessage};
use crate::executions::{CalledBy, Executions, record_all};
use crate::following::{Asking, Following, RealTime, deliver};
use crate::freeing::{PIN_FOR, empty};
use crate::hosting::{HostingActor, HostingArguments, HostingMessage};
use crate::links::{Audience, Links, LinksActor, LinksArguments};
use crate::ownership::watch_owners;
use crate::pool::{CallError, CallReply, CallRequest, Pool};
use crate::pools::{Pools, PoolsActor, PoolsMessage};
use crate::preparation;
use crate::printing::TelemetryInlet;
use crate::proposing::{By, propose};
use crate::reconcile::{reconcile, sweep};
use crate::recorder::RecorderActor;
use crate::run_workers::RunWorkersActor;
use crate::sessions::{Sessions, SessionsActor, SessionsMessage};
use crate::stored;
use crate::submission::{ResumeRequest, SubmitRequest, Submitted};
use crate::worker::{WorkerMessage, WorkerView};

/// Between attempts to learn which runs this node left behind.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Runs that this node owned before it ended are not executed without their callers, unless their code was sent along. Only a leader, or a quorum, knows
/// them all. Returns when they are interrupted, or the node stops.
async fn interrupt(consensus: &Consensus, node: NodeId) {
    loop {
        let left_over = match consensus.read(|state| !state.pending(node).is_empty()).await {
            Ok(false) => return,
            Ok(true) => propose(consensus, By::default(), &Command::InterruptRuns { node }).await,
            Err(ReadError::Stopped { .. }) => return,
            Err(error) => {
                debug!(%error, "runs of this node's last life wait for a quorum");
                tokio::time::sleep(LOOK_PAUSE).await;
                continue;
            }
        };
        match left_over {
            Ok(_) | Err(ProposeError::Stopped { .. }) => return,
            Err(error) => warn!(%error, "runs of this node's last life wait for a quorum"),
        }
    }
}

/// What each environment has, or why it cannot be used.
async fn environments(context: &NodeContext) -> Vec<EnvironmentView> {
    let NodeContext { environments, parts, .. } = context;
    let own = parts.pools.own.as_deref().map(|caller| caller.environment.clone()).unwrap_or_default();
    environments.views(&parts.zygotes, &own).await
}

/// A handle to the actors of this node.
#[derive(Clone, Debug)]
pub struct Tree {
    context: Arc<NodeContext>,
    node: ActorRef<NodeMessage>,
    evaluations: ActorRef<EvaluationsMessage>,
    pools: Pools,
    sessions: Sessions,
}

impl Tree {
    /// Starts the tree. Runs that were running when an embedded node ended are interrupted first: only their callers can
    /// hand over what they need.
    ///
    /// # Errors
    /// When an actor does not start.
    pub fn start(parts: NodeParts) -> BoxFuture<'static, Result<Self, Box<dyn std::error::Error + Send + Sync>>> {
        Box::pin(async move {
            let (context, recorder) = NodeContext::new(parts);
            let node = context.parts.node;
            let consensus = context.parts.consensus.clone();
            // A node that leads can say so now; others when their cluster has a quorum. No run starts before.
            let turn = Arc::clone(&context.starting).lock_owned().await;
            let is_worker = consensus.is_worker();
            let leads = consensus.status().is_leader;
            if leads {
                interrupt(&consensus, node).await;
            }
            tokio::spawn(keep_fair(Arc::clone(&context)));
            if !context.environments.is_empty() {
                // It takes seconds to find out, and the first run should not wait for that.
                let context = Arc::clone(&context);
                tokio::spawn(async move { environments(&context).await });
            }
            let effects = consensus.effects();
            let (root, _) = Actor::spawn(None, NodeActor, ()).await?;
            let Children { evaluations, hosting, pools, sessions } = spawn_children(&context, &root).await?;
            let sessions = Sessions::new(Arc::clone(&context), sessions);
            let reconciling = reconcile(Arc::clone(&context), effects, (evaluations.clone(), hosting));
            // A node without a vote owns nothing and has no state from which anything could be derived.
            if is_worker {
                tokio::spawn(empty(Arc::clone(&context)));
                tokio::spawn(record_all(Arc::clone(&context), recorder));
                return Ok(Self { context, node: root, evaluations, pools: Pools::new(pools), sessions });
            }
            tokio::spawn(async move {
                if !leads {
                    interrupt(&consensus, node).await;
                }
                drop(turn);
                reconciling.await;
            });
            tokio::spawn(sweep(Arc::clone(&context)));
            if context.parts.has_peers {
                tokio::spawn(watch_owners(Arc::clone(&context)));
                tokio::spawn(watch_draining(Arc::clone(&context)));
            }
            tokio::spawn(record_all(Arc::clone(&context), recorder));
            Ok(Self { context, node: root, evaluations, pools: Pools::new(pools), sessions })
        })
    }

    /// Checks, stores and starts a run, or continues one. Nothing is stored when the check fails.
    ///
    /// # Errors
    /// See [`SubmitErrorKind`](crate::SubmitErrorKind).
    pub fn submit(&self, request: SubmitRequest) -> BoxFuture<'_, Result<Submitted, SubmitError>> {
        Box::pin(async move { preparation::submit(&self.context, &self.evaluations, request).await })
    }

    /// Continues a cancelled or interrupted run, or executes once more what has failed in one.
    ///
    /// # Errors
    /// See [`SubmitErrorKind`](crate::SubmitErrorKind).
    pub fn resume(&self, request: ResumeRequest) -> BoxFuture<'_, Result<Submitted, SubmitError>> {
        Box::pin(async move { preparation::resume(&self.context, &self.evaluations, request).await })
    }

    /// Stops a run; what it has is kept.
    ///
    /// # Errors
    /// When there is no such run, or it is not running.
    pub fn cancel(&self, run: RunId, reason: String, by: By) -> BoxFuture<'_, Result<(), SubmitError>> {
        Box::pin(async move { self.write(by, Command::CancelRun { run, reason }).await })
    }

    /// Gives no more examples of a run out; what is under way ends and counts.
    ///
    /// # Errors
    /// When there is no such run, or it is neither running nor paused.
    pub fn pause(&self, run: RunId, by: By) -> BoxFuture<'_, Result<(), SubmitError>> {
        Box::pin(async move { self.write(by, Command::PauseRun { run }).await })
    }

    /// Says how much of the nodes a run is to have beside others.
    ///
    /// # Errors
    /// When there is no such run, or it is over.
    pub fn weigh(&self, run: RunId, weight: u32, by: By) -> BoxFuture<'_, Result<(), SubmitError>> {
        Box::pin(async move { self.write(by, Command::WeighRun { run, weight }).await })
    }

    /// Removes a run and frees its blobs.
    ///
    /// # Errors
    /// When there is no such run, or it is running.
    pub fn delete(&self, run: RunId, by: By) -> BoxFuture<'_, Result<(), SubmitError>> {
        Box::pin(async move {
            let consensus = &self.context.parts.consensus;
            let candidates = consensus.read_stale(|state| {
                state.run(run).map(|held| held.blobs().collect::<HashSet<Digest>>()).unwrap_or_default()
            });
            self.write(by, Command::DeleteRun { run }).await?;
            self.context.boards.remove(run);
            // The effect of the deletion sweeps in the background; this run's own blobs are gone when the caller hears of it.
            if let Err(error) = self.context.freeing.free(&self.context.parts.blobs, candidates, consensus).await {
                debug!(%error, "the blobs of a deleted run are freed later");
            }
            Ok(())
        })
    }

    async fn write(&self, by: By, command: Command) -> Result<(), SubmitError> {
        let outcome = propose(&self.context.parts.consensus, by, &command).await;
        match outcome? {
            Outcome::Rejected(rejection) => Err(rejection.into()),
            _ => Ok(()),
        }
    }

    /// Prints, warnings and timing of a run that this node owns, since it does.
    pub fn board(&self, run: RunId) -> Option<Arc<Board>> {
        self.context.boards.get(run)
    }

    /// Prints and warnings of a run behind a place, whichever node owns it.
    pub fn follow(&self, run: RunId, after: LineCursor) -> Following {
        Following::from(&self.context, run, after)
    }

    /// Questions to the driver of a run, whichever node owns it.
    pub fn asking(&self, run: RunId) -> Asking {
        Asking::new(Arc::clone(&self.context), run)
    }

    /// What serves the real_time channel.
    pub fn real_time(&self) -> RealTime {
        RealTime::new(self.clone())
    }

    /// What serves the telemetry channel.
    pub fn telemetry(&self) -> TelemetryInlet {
        TelemetryInlet::new(Arc::clone(&self.context))
    }

    pub(crate) fn context(&self) -> &Arc<NodeContext> {
        &self.context
    }

    /// The program that submitted the run watches it here, until the guard is dropped; whoever owns the run is told.
    pub fn attend(&self, run: RunId) -> Attendance {
        attendance::attend(Arc::clone(&self.context), run)
    }

    /// Brings the driver's answer to a question of one of its run's workers to the run's owner.
    pub fn answer(&self, run: RunId, worker: String, answer: Answer) -> BoxFuture<'_, ()> {
        Box::pin(deliver(self, run, worker, answer))
    }

    /// The same at the owner.
    pub(crate) fn answer_here(&self, run: RunId, worker: &str, answer: Answer) {
        if self.board(run).is_some_and(|board| board.answered(worker, answer.id)) {
            if self.has_worker(worker) {
                self.tell_worker(worker, WorkerMessage::Answer(answer));
            } else {
                // A tree that has stopped has no workers that wait.
                let _ = self.evaluations.cast(EvaluationsMessage::Answer { run, worker: worker.to_owned(), answer });
            }
        }
    }

    /// No blob is freed while the guard lives: taken from an upload's last byte until it is pinned.
    pub async fn keep_blobs(&self) -> impl Drop + use<'_> {
        self.context.freeing.hold().await
    }

    /// Frees what nothing refers to any more, in the background: what was to be freed while somebody held all blobs.
    pub fn free_blobs(&self) {
        tokio::spawn(sweep(Arc::clone(&self.context)));
    }

    /// An uploaded blob is kept for the proposal that will name it.
    pub fn pin(&self, digest: Digest) {
        self.context.parts.blobs.pin(digest, PIN_FOR);
    }

    /// The proposal that an upload was for has come.
    pub fn unpin(&self, digest: &Digest) {
        self.context.parts.blobs.unpin(digest);
    }

    /// Calls a command of a pool, records that where the pool's settings say so, and takes a program of the store where the call names
    /// one. Any other call has its place in the pool's queue when this returns. It fails as [`Pool::call`], where the inputs do not fit
    /// the program, and at once while the node drains. `by`: on whose account.
    pub fn call(
        &self,
        pool: &Pool,
        request: CallRequest,
        by: CalledBy,
    ) -> impl Future<Output = Result<CallReply, CallError>> + Send + use<> {
        match self.is_draining() {
            true => Either::Left(std::future::ready(Err(CallError::Draining))),
            false => Either::Right(stored::call(&self.context, pool, request, by)),
        }
    }

    /// Whether this node takes nothing new.
    pub fn is_draining(&self) -> bool {
        self.context.draining.is_on()
    }

    /// The nodes that take nothing new, as far as this one knows.
    pub fn draining_nodes(&self) -> BTreeSet<NodeId> {
        self.context.draining_nodes()
    }

    /// How many workers of runs a node has; `None`: it has not said so.
    pub fn run_workers(&self, node: NodeId) -> Option<u32> {
        if node == self.node() { Some(self.context.run_workers()) } else { self.context.links.run_workers(node) }
    }

    /// Before the node ends: others take over what may be elsewhere. Waits for that at most so long.
    pub fn leave(&self, limit: Duration) -> BoxFuture<'_, ()> {
        Box::pin(leave(&self.context, limit))
    }

    /// The pools of this node.
    pub fn pools(&self) -> &Pools {
        &self.pools
    }

    /// Executing in sessions.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// The recorder of this node's executions.
    pub fn executions(&self) -> &Executions {
        &self.context.executions
    }

    /// The Python processes of this node.
    pub fn workers(&self) -> Vec<WorkerView> {
        let views = self.context.views.lock().unwrap_or_else(PoisonError::into_inner);
        views.values().map(|(view, _)| view.clone()).collect()
    }

    /// A worker finishes what it has and ends; whether another one takes its place. `false`: there is none of this id.
    pub fn let_worker_go(&self, id: &str, replace: bool) -> bool {
        self.tell_worker(id, WorkerMessage::Leave { replace })
    }

    /// Ends a worker at once: what it executes runs again on another one. `false`: there is none of this id.
    pub fn kill_worker(&self, id: &str) -> bool {
        self.tell_worker(id, WorkerMessage::Kill)
    }

    fn has_worker(&self, id: &str) -> bool {
        self.context.views.lock().unwrap_or_else(PoisonError::into_inner).contains_key(id)
    }

    fn tell_worker(&self, id: &str, message: WorkerMessage) -> bool {
        let views = self.context.views.lock().unwrap_or_else(PoisonError::into_inner);
        views.get(id).is_some_and(|(_, actor)| actor.cast(message).is_ok())
    }

    /// In which code is executed that was sent along: what each of them has, or why it cannot be used.
    pub async fn environments(&self) -> Vec<EnvironmentView> {
        environments(&self.context).await
    }

    /// One of them.
    ///
    /// # Errors
    /// When there is none of this name.
    pub async fn environment(&self, name: &str) -> Result<EnvironmentView, SubmitError> {
        let NodeContext { environments, parts, .. } = &*self.context;
        let named = environments.find(name)?.clone();
        let own = parts.pools.own.as_ref().map(|own| own.environment.clone()).unwrap_or_default();
        let facts = environments.facts(&named, &parts.zygotes, &own).await;
        Ok(EnvironmentView { named, facts })
    }

    /// An upload that is here already is kept as if it came now; `false`: it is not here.
    ///
    /// # Errors
    /// When the blobs cannot be read.
    pub async fn keep_blob(&self, digest: Digest) -> std::io::Result<bool> {
        let blobs = self.context.parts.blobs.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let is_here = blobs.missing(&[digest], Some(PIN_FOR))?.is_empty();
            if !is_here {
                // The upload that comes now is kept by itself.
                blobs.unpin(&digest);
            }
            Ok(is_here)
        });
        looked.await.map_err(std::io::Error::other)?
    }

    /// The links to peers, which serve the coordination channel.
    pub fn links(&self) -> Links {
        self.context.links.clone()
    }

    /// The zygotes of this node.
    pub fn zygotes(&self) -> dspex_python::Zygotes {
        self.context.parts.zygotes.clone()
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.context.parts.node
    }

    /// The wall clock as proposals are stamped with it.
    pub fn now_ms(&self) -> u64 {
        self.context.parts.consensus.now_ms()
    }

    /// Ends all actors and their processes.
    pub fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // A tree that has stopped already is stopped.
            let _ = self.node.stop_and_wait(None, None).await;
            self.context.parts.zygotes.stop().await;
        })
    }
}

struct Children {
    evaluations: ActorRef<EvaluationsMessage>,
    hosting: ActorRef<HostingMessage>,
    pools: ActorRef<PoolsMessage>,
    sessions: ActorRef<SessionsMessage>,
}

async fn spawn_children(context: &Arc<NodeContext>, node: &ActorRef<NodeMessage>) -> Result<Children, SpawnErr> {
    let cell = node.get_cell();
    let (recorder, _) = Actor::spawn_linked(None, RecorderActor, Arc::clone(context), cell.clone()).await?;
    let of_pools = (Arc::clone(context), context.parts.pools.clone());
    let (pools, _) = Actor::spawn_linked(None, PoolsActor, of_pools, cell.clone()).await?;
    let (sessions, _) = Actor::spawn_linked(None, SessionsActor, Arc::clone(context), cell.clone()).await?;
    let (run_workers, _) = Actor::spawn_linked(None, RunWorkersActor, (), cell.clone()).await?;
    let hosts =
        HostingArguments { context: Arc::clone(context), run_workers: run_workers.clone(), recorder: recorder.clone() };
    let (hosting, _) = Actor::spawn_linked(None, HostingActor, hosts, cell.clone()).await?;
    let arguments = EvaluationsArguments { context: Arc::clone(context), run_workers, recorder };
    let (evaluations, _) = Actor::spawn_linked(None, EvaluationsActor, arguments, cell.clone()).await?;
    if context.parts.has_peers {
        let (owners, hosts) = (evaluations.clone(), hosting.clone());
        let audience: Vec<Audience> = vec![
            Box::new(move |event| owners.cast(EvaluationsMessage::Link(event)).is_ok()),
            Box::new(move |event| hosts.cast(HostingMessage::Link(event)).is_ok()),
        ];
        Actor::spawn_linked(None, LinksActor, LinksArguments { context: Arc::clone(context), audience }, cell).await?;
    }
    Ok(Children { evaluations, hosting, pools, sessions })
}

/// The root. Its children restart what fails below them; that one of them fails itself is a defect of this program.
struct NodeActor;

/// Nobody tells it anything.
#[derive(Debug, RactorMessage)]
enum NodeMessage {}

impl Actor for NodeActor {
    type Msg = NodeMessage;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<NodeMessage>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    /// The node's process ends: everything that counts is in the log, and a new process derives the rest from it.
    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<NodeMessage>,
        event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(cell, error) = event {
            error!(actor = ?cell.get_id(), %error, "a supervisor failed; the node ends");
            std::process::exit(70);
        }
        Ok(())
    }
}
