//! The workers of a pool: started all at once, replaced when they die, drained and restarted on request.

use std::sync::Arc;
use std::time::Duration;

use dspex_python::protocol::{PROTOCOL_VERSION, Serve};
use ractor::{Actor, ActorId, ActorRef};
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::PoolMessage;
use super::call::{CallError, EXECUTE_PROGRAM};
use super::plan::{CallId, Cause, WorkerKey};
use super::service::Service;
use crate::bulkheads::PLACE_WAIT;
use crate::error::{SubmitError, SubmitErrorKind};
use crate::worker::{Origin, WorkerActor, WorkerEnd, WorkerMessage, WorkerOwner, WorkerPlace, WorkerService};

/// Workers in a row that did not come up: who waits is told, instead of waiting for ever.
const FAILED_STARTS_MAX: u32 = 3;
/// Without a call for so long, a pool can do without its workers where others wait for their places: they are back within a moment.
const GIVES_WAY_AFTER: Duration = Duration::from_secs(1);
/// How often a pool that has fewer workers than it is to have looks for places.
const SEEKS_EVERY: Duration = Duration::from_secs(1);

/// A worker of the pool.
pub(super) struct Member {
    pub actor: ActorRef<WorkerMessage>,
    pub id: String,
    /// Its class has room for its process.
    pub placed: bool,
    pub ready: bool,
    /// The call that passed its limit, when it was killed for one.
    pub killed_for: Option<CallId>,
    leaving: Option<Leaving>,
}

/// A worker that gets no more calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    /// Its place stays empty.
    Drained,
    /// Another one takes its place.
    Restarted,
    /// Nobody calls any more.
    Idle,
}

impl Service {
    /// Whether any worker stays: those that leave for lack of calls do not come back for a new one.
    pub(super) fn has_staying_workers(&self) -> bool {
        self.members.values().any(|member| member.leaving.is_none())
    }

    /// As many workers as the pool is to have, all at once: one that hangs keeps no other from starting. A place that waits after
    /// a death is filled when its own pause is over, whatever else asks for workers meanwhile.
    pub(super) async fn start_workers(&mut self) {
        let staying = |member: &Member| member.leaving.is_none();
        let have = self.members.values().filter(|member| staying(member)).count() + self.drained.len() + self.paused;
        for _ in have..self.arguments.settings.workers as usize {
            self.spawn_worker().await;
        }
    }

    /// A call has come, and there is nobody to execute it.
    pub(super) async fn start_for_a_call(&mut self, call: CallId) {
        if self.drained.len() >= self.arguments.settings.workers as usize {
            // Whoever drained them must say when they come back.
            let error = CallError::Drained { pool: self.arguments.class.name(), worker: self.drained[0].clone() };
            self.plan.withdraw(&[call]);
            self.fail(call, error);
        } else if self.paused == 0 {
            // Until now none was wanted, so none was missing.
            self.window.available(self.now_ms());
            self.start_workers().await;
        }
    }

    async fn spawn_worker(&mut self) {
        let key = self.next_key;
        self.next_key += 1;
        let unique = Uuid::now_v7().simple().to_string();
        let id = format!("python_worker_{key}_{}", &unique[unique.len() - 8..]);
        let settings = &self.arguments.settings;
        let serve = Serve {
            protocol: PROTOCOL_VERSION,
            pool: self.arguments.class.name().to_owned(),
            threads: settings.threads,
            commands: settings.commands.clone(),
            lm: settings.lm.clone(),
            traces: settings.record.covers(EXECUTE_PROGRAM),
        };
        let place = WorkerPlace {
            context: Arc::clone(&self.arguments.context),
            key,
            id: id.clone(),
            service: WorkerService::Pool(self.arguments.class),
            owner: WorkerOwner::Pool(self.myself.clone()),
            may_repeat: false,
            memory_limit: settings.memory_limit,
        };
        // One that has some takes what is free, and leaves the line to those that have none.
        let patience = if self.has_staying_workers() { Duration::ZERO } else { PLACE_WAIT };
        let caller = Arc::clone(&self.arguments.caller);
        let origin = Origin::Serve { caller, serve, limit: settings.startup_timeout, patience };
        match Actor::spawn_linked(None, WorkerActor, (place, origin), self.myself.get_cell()).await {
            Ok((actor, _)) => {
                let member = Member { actor, id, placed: false, ready: false, killed_for: None, leaving: None };
                self.members.insert(key, member);
            }
            Err(error) => warn!(%error, "a worker's actor did not start"),
        }
    }

    pub(super) fn key_of(&self, actor: ActorId) -> Option<WorkerKey> {
        self.members.iter().find(|(_, member)| member.actor.get_id() == actor).map(|(&key, _)| key)
    }

    pub(super) fn placed(&mut self, key: WorkerKey) {
        if let Some(member) = self.members.get_mut(&key) {
            member.placed = true;
        }
    }

    pub(super) fn joined(&mut self, key: WorkerKey) {
        if let Some(member) = self.members.get_mut(&key) {
            member.ready = true;
            self.failed_starts = 0;
            self.plan.worker_joined(key, self.arguments.settings.threads as usize);
            if member.leaving.is_some() {
                self.plan.worker_leaving(key);
                self.let_go(key);
            }
        }
    }

    /// An operator asked: it finishes what it has and ends.
    pub(super) async fn leaving(&mut self, key: WorkerKey, replace: bool) {
        let Some(member) = self.members.get_mut(&key) else { return };
        if member.leaving == Some(Leaving::Drained) && replace {
            // An operator has changed their mind.
            let id = member.id.clone();
            self.drained.retain(|drained| *drained != id);
        } else if member.leaving.is_some() {
            return;
        }
        member.leaving = Some(if replace { Leaving::Restarted } else { Leaving::Drained });
        if !replace {
            self.drained.push(member.id.clone());
        }
        self.plan.worker_leaving(key);
        self.let_go(key);
        // The new one comes up while the old one finishes.
        self.start_workers().await;
    }

    /// Ends a worker that is to leave and has nothing left to do.
    pub(super) fn let_go(&self, key: WorkerKey) {
        if let Some(member) = self.members.get(&key)
            && member.leaving.is_some()
            && member.ready
            && self.plan.held_by(key) == 0
        {
            // One that is gone has nothing left to do.
            let _ = member.actor.cast(WorkerMessage::Finish);
        }
    }

    /// The place of a drained worker is filled again.
    pub(super) async fn refill(&mut self, worker: &str) -> bool {
        let Some(position) = self.drained.iter().position(|id| id == worker) else { return false };
        self.drained.remove(position);
        self.start_workers().await;
        true
    }

    /// What follows the end of a worker.
    pub(super) async fn replace(&mut self, member: &Member, cause: Cause, end: &WorkerEnd) {
        if member.leaving == Some(Leaving::Restarted) {
            self.restarts += 1;
        }
        if member.leaving.is_some() {
            info!(worker = %member.id, pool = %self.arguments.class, "a worker has left");
            return;
        }
        if !member.placed && end.refused.as_ref().is_some_and(|refused| refused.kind == SubmitErrorKind::PoolFull) {
            return self.found_no_place().await;
        }
        warn!(worker = %member.id, pool = %self.arguments.class, reason = %end.message, "a worker ended and is replaced");
        self.restarts += 1;
        if !member.ready {
            self.failed_starts += 1;
            // What was refused once will be refused again.
            let hopeless = end.refused.is_some() || self.failed_starts >= FAILED_STARTS_MAX;
            if hopeless && !self.members.values().any(|member| member.ready) {
                self.failed_starts = 0;
                let error = end.refused.clone().unwrap_or_else(|| not_started(self.arguments.class.name(), end));
                self.give_up_waiting(&CallError::NotStarted(error));
            }
        }
        // Nobody waits and none is ready: the next call tries again, instead of a loop without a purpose.
        let hopeless = !member.ready && !self.members.values().any(|member| member.ready);
        if hopeless && !self.has_calls() && !self.arguments.settings.eager {
            return;
        }
        let wait_ms = if cause == Cause::Crash || !member.ready { self.backoff.death() } else { 0 };
        // Neither a new call nor a restart of another worker shortens the pause of a crash loop.
        self.paused += 1;
        self.myself.send_after(Duration::from_millis(wait_ms), || PoolMessage::SpawnWorker);
    }

    /// There was no place for a worker. That is nobody's failure and no death: as long as calls wait, another one of a pool without any
    /// waits, and the calls that have waited too long are told (`refuse_without_place`). A pool that has some looks again in a moment.
    async fn found_no_place(&mut self) {
        debug!(pool = %self.arguments.class, "a worker found no place in its class");
        if !self.has_staying_workers() && self.wants_workers() {
            self.start_workers().await;
        } else if !self.is_seeking {
            self.is_seeking = true;
            self.myself.send_after(SEEKS_EVERY, || PoolMessage::SeekPlaces);
        }
    }

    pub(super) async fn seek_places(&mut self) {
        self.is_seeking = false;
        if self.wants_workers() {
            self.start_workers().await;
        } else {
            self.is_short = true;
        }
    }

    fn wants_workers(&self) -> bool {
        self.has_calls() || self.arguments.settings.eager
    }

    /// The pause of a place is over.
    pub(super) async fn pause_ended(&mut self) {
        self.paused = self.paused.saturating_sub(1);
        self.start_workers().await;
    }

    /// Without calls the workers end; the next call starts them again.
    pub(super) fn end_idle_workers(&mut self) {
        if let Some(idle) = self.arguments.settings.idle_timeout {
            self.end_workers_idle_for(idle);
        }
    }

    /// Others of its class wait for places. Those of a pool that is to be warm without a call stay.
    pub(super) fn give_way(&mut self) {
        if !self.arguments.settings.eager {
            self.end_workers_idle_for(GIVES_WAY_AFTER);
        }
    }

    fn end_workers_idle_for(&mut self, idle: Duration) {
        if self.has_calls() || self.last_call.elapsed() < idle {
            return;
        }
        let keys: Vec<WorkerKey> = self.members.keys().copied().collect();
        for key in keys {
            if let Some(member) = self.members.get_mut(&key)
                && member.leaving.is_none()
            {
                member.leaving = Some(Leaving::Idle);
                self.plan.worker_leaving(key);
                self.let_go(key);
            }
        }
        self.end_unplaced_workers();
    }

    /// Nobody calls any more, so none of them is to take the place that it waits for.
    pub(super) fn end_unplaced_workers(&mut self) {
        if self.wants_workers() {
            return;
        }
        for member in self.members.values_mut().filter(|member| !member.placed) {
            member.leaving = Some(Leaving::Idle);
            // Not a message: it does not read while it waits.
            member.actor.kill();
        }
    }

    pub(super) fn stop_workers(&mut self) {
        for member in self.members.values() {
            // Not a message: it must also reach a worker that waits for capacity.
            member.actor.kill();
        }
    }
}

fn not_started(pool: &str, end: &WorkerEnd) -> SubmitError {
    let shown = crate::evaluation::shown_tail(&end.output);
    SubmitError::new(
        SubmitErrorKind::WorkerEnded,
        format!("the workers of the pool {pool} do not start: {}{shown}", end.message),
    )
}
