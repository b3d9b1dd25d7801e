//! The pools of a node: one for each workload class and environment in use, started when it is first asked for.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use ractor_cluster::RactorMessage;
use tokio::sync::oneshot;
use tracing::warn;
use uuid::Uuid;

use crate::context::NodeContext;
use crate::pool::{CallError, Pool, PoolArguments, PoolClass, PoolSettings, PoolStats};
use crate::submission::Caller;

/// Pools at once. A class has one for each environment that callers come with, most often one; the one that was opened
/// longest ago and has no calls makes room for another.
const POOLS_MAX: usize = 16;
const SETTLE_LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often it is looked whether a class of pools is full while some of them do nothing.
const GIVE_WAY_LOOK_EVERY: Duration = Duration::from_millis(250);
/// What differs from shell to shell, and from call to call, and makes no difference to a program.
const VOLATILE: &[&str] = &["PWD", "OLDPWD", "SHLVL", "_", "TRACEPARENT", "TRACESTATE", "COLUMNS", "LINES"];

/// The settings of the classes.
#[derive(Clone, Debug)]
pub struct PoolsSettings {
    /// Of each class.
    pub classes: HashMap<PoolClass, PoolSettings>,
    /// Of calls in sessions, each of which has a worker of its own, with one thread.
    pub sessions: PoolSettings,
    /// Who calls, whoever asks: the environment of a node that is not embedded. `None`: each caller brings its own.
    pub own: Option<Arc<Caller>>,
}

impl PoolsSettings {
    /// The defaults on a machine with so many CPUs, with each caller's own environment.
    pub fn embedded(cpus: usize) -> Self {
        let classes = PoolClass::ALL.into_iter().map(|class| (class, PoolSettings::default_of(class, cpus)));
        let sessions = PoolSettings::default_of(PoolClass::General, cpus);
        Self { classes: classes.collect(), sessions, own: None }
    }
}

#[derive(Debug, RactorMessage)]
pub(crate) enum PoolsMessage {
    /// The pool of a class for a caller, started if need be.
    Open(PoolClass, Option<Arc<Caller>>, oneshot::Sender<Result<(Uuid, Pool), CallError>>),
    /// A pool that was opened before.
    Find(Uuid, oneshot::Sender<Option<Pool>>),
    /// All of them.
    List(oneshot::Sender<Vec<Pool>>),
    /// Some may wait for places of others.
    GiveWay,
}

/// A handle to the pools of a node.
#[derive(Clone, Debug)]
pub struct Pools {
    actor: ActorRef<PoolsMessage>,
}

impl Pools {
    pub(crate) fn new(actor: ActorRef<PoolsMessage>) -> Self {
        Self { actor }
    }

    /// The pool of a class for a caller, and the name by which [`Pools::find`] knows it. A node with an environment of its own
    /// needs no caller.
    ///
    /// # Errors
    /// When there are too many environments, or the node is stopping.
    pub async fn open(&self, class: PoolClass, caller: Option<Caller>) -> Result<(Uuid, Pool), CallError> {
        self.ask(|reply| PoolsMessage::Open(class, caller.map(Arc::new), reply)).await?
    }

    /// A pool that was opened before, as long as the node lives.
    ///
    /// # Errors
    /// When the node is stopping.
    pub async fn find(&self, id: Uuid) -> Result<Option<Pool>, CallError> {
        self.ask(|reply| PoolsMessage::Find(id, reply)).await
    }

    /// How they are, by class.
    pub async fn stats(&self) -> Vec<PoolStats> {
        let mut all = Vec::new();
        for pool in self.list().await {
            if let Ok(stats) = pool.stats().await {
                all.push(stats);
            }
        }
        all.sort_by(|one, other| (one.class, &one.directory).cmp(&(other.class, &other.directory)));
        all
    }

    /// Fills the place of a drained worker; `false`: there is none of this id.
    pub async fn refill(&self, worker: &str) -> bool {
        for pool in self.list().await {
            if pool.refill(worker.to_owned()).await {
                return true;
            }
        }
        false
    }

    /// Drained workers: their class and id.
    pub async fn drained(&self) -> Vec<(PoolClass, String)> {
        let mut all = Vec::new();
        for pool in self.list().await {
            all.extend(pool.drained().await.into_iter().map(|id| (pool.class(), id)));
        }
        all
    }

    /// Waits until no call is in any pool, at most so long.
    pub async fn settle(&self, limit: Duration) {
        let settled = async {
            let pools = self.list().await;
            while !pools.iter().all(Pool::is_unused) {
                tokio::time::sleep(SETTLE_LOOK_EVERY).await;
            }
        };
        // Whoever is left is told that the pool stops.
        let _ = tokio::time::timeout(limit, settled).await;
    }

    async fn list(&self) -> Vec<Pool> {
        self.ask(PoolsMessage::List).await.unwrap_or_default()
    }

    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> PoolsMessage) -> Result<T, CallError> {
        let (reply, answer) = oneshot::channel();
        self.actor.cast(message(reply)).map_err(|_| CallError::Stopping)?;
        answer.await.map_err(|_| CallError::Stopping)
    }
}

pub(crate) struct PoolsActor;

pub(crate) struct PoolsState {
    context: Arc<NodeContext>,
    settings: PoolsSettings,
    pools: HashMap<PoolClass, Vec<Entry>>,
}

struct Entry {
    id: Uuid,
    opened: Instant,
    caller: Arc<Caller>,
    pool: Pool,
    /// What a command prints of its caller's secrets does not reach this node's log.
    _hidden: dspex_telemetry::Hidden,
}

impl Actor for PoolsActor {
    type Msg = PoolsMessage;
    type State = PoolsState;
    type Arguments = (Arc<NodeContext>, PoolsSettings);

    async fn pre_start(
        &self,
        myself: ActorRef<PoolsMessage>,
        (context, settings): (Arc<NodeContext>, PoolsSettings),
    ) -> Result<PoolsState, ActorProcessingErr> {
        let mut state = PoolsState { context, settings, pools: HashMap::new() };
        myself.send_interval(GIVE_WAY_LOOK_EVERY, || PoolsMessage::GiveWay);
        for class in PoolClass::ALL {
            if state.settings.classes.get(&class).is_some_and(|settings| settings.eager) && state.settings.own.is_some()
            {
                let (_, pool) = state.open(&myself, class, None).await?;
                pool.start();
            }
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<PoolsMessage>,
        message: PoolsMessage,
        state: &mut PoolsState,
    ) -> Result<(), ActorProcessingErr> {
        // Whoever asked may be gone.
        match message {
            PoolsMessage::Open(class, caller, reply) => {
                let _ = reply.send(state.open(&myself, class, caller).await);
            }
            PoolsMessage::Find(id, reply) => {
                let found = state.pools.values().flatten().find(|entry| entry.id == id);
                let _ = reply.send(found.map(|entry| entry.pool.clone()));
            }
            PoolsMessage::GiveWay => state.give_way(),
            PoolsMessage::List(reply) => {
                let _ = reply.send(state.pools.values().flatten().map(|entry| entry.pool.clone()).collect());
            }
        }
        Ok(())
    }

    /// A pool that failed is started anew when it is asked for again; its callers have been told.
    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<PoolsMessage>,
        event: SupervisionEvent,
        state: &mut PoolsState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(cell, ..) => state.remove(cell.get_id()),
            SupervisionEvent::ActorFailed(cell, error) => {
                warn!(%error, "a pool failed");
                state.remove(cell.get_id());
            }
            _ => {}
        }
        Ok(())
    }
}

impl PoolsState {
    async fn open(
        &mut self,
        myself: &ActorRef<PoolsMessage>,
        class: PoolClass,
        caller: Option<Arc<Caller>>,
    ) -> Result<(Uuid, Pool), CallError> {
        let settings = self.settings.classes.get(&class).cloned();
        let settings = settings.unwrap_or_else(|| PoolSettings::default_of(class, self.context.parts.cpus));
        let Some(caller) = self.settings.own.clone().or(caller) else { return Err(CallError::Stopping) };
        let caller = with_settings(&caller, settings.python.as_ref(), settings.directory.as_ref());
        let entries = self.pools.entry(class).or_default();
        if let Some(entry) = entries.iter_mut().find(|entry| is_same(&entry.caller, &caller)) {
            entry.opened = Instant::now();
            return Ok((entry.id, entry.pool.clone()));
        }
        if self.pools.values().map(Vec::len).sum::<usize>() >= POOLS_MAX && !self.make_room() {
            return Err(CallError::TooManyPools(POOLS_MAX));
        }
        let arguments = PoolArguments {
            context: Arc::clone(&self.context),
            class,
            settings,
            caller: Arc::clone(&caller),
            refused: Arc::new(AtomicU64::new(0)),
        };
        let pool = Pool::spawn(arguments, myself.get_cell()).await.map_err(|error| {
            warn!(%error, "a pool did not start");
            CallError::Stopping
        })?;
        let id = Uuid::now_v7();
        let hidden = dspex_telemetry::hide(&caller.environment);
        self.pools.entry(class).or_default().push(Entry {
            id,
            opened: Instant::now(),
            caller,
            pool: pool.clone(),
            _hidden: hidden,
        });
        Ok((id, pool))
    }

    /// Where a class has no place for a worker that waits, those of its pools that have nothing to do give theirs back. They keep
    /// what was defined in them.
    fn give_way(&self) {
        for (&class, entries) in &self.pools {
            if self.context.bulkheads.of(class).has_waiting() {
                entries.iter().filter(|entry| entry.pool.is_unused()).for_each(|entry| entry.pool.give_way());
            }
        }
    }

    /// Ends the pool that was opened longest ago and has no calls.
    fn make_room(&mut self) -> bool {
        let unused = self.pools.values().flatten().filter(|entry| entry.pool.is_unused());
        let Some(oldest) = unused.min_by_key(|entry| entry.opened).map(|entry| entry.id) else { return false };
        for entries in self.pools.values_mut() {
            entries.retain(|entry| {
                if entry.id == oldest {
                    entry.pool.stop();
                }
                entry.id != oldest
            });
        }
        true
    }

    fn remove(&mut self, actor: ActorId) {
        for entries in self.pools.values_mut() {
            entries.retain(|entry| entry.pool.id() != actor);
        }
    }
}

/// Why the interpreter was chosen makes no difference.
pub(crate) fn is_same(one: &Caller, other: &Caller) -> bool {
    let lasting = |caller: &Caller| -> Vec<(String, String)> {
        let variables = caller.environment.iter().filter(|(name, _)| !VOLATILE.contains(&name.as_str()));
        variables.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    one.interpreter == other.interpreter && one.directory == other.directory && lasting(one) == lasting(other)
}

pub(crate) fn with_settings(
    caller: &Arc<Caller>,
    python: Option<&PathBuf>,
    directory: Option<&PathBuf>,
) -> Arc<Caller> {
    if python.is_none() && directory.is_none() {
        return Arc::clone(caller);
    }
    let mut changed = Caller::clone(caller);
    if let Some(python) = python {
        changed.interpreter.clone_from(python);
    }
    if let Some(directory) = directory {
        changed.directory.clone_from(directory);
    }
    Arc::new(changed)
}
