//! What a Pool actor does: calls in, orders to workers, replies out. What happens next is decided by the plan.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dspex_python::protocol::{Call, Define, Outcome, Reply, SessionChanges};
use ractor::ActorRef;

use super::call::{CallError, CallReply, CallTiming};
use super::members::Member;
use super::plan::{Assignment, CallId, Cause, Plan, Terms, Took, Verdict, WorkerKey};
use super::window::{Counts, Window};
use super::{Pending, PoolArguments, PoolMessage, PoolStats, TICK_EVERY};
use crate::bulkheads::PLACE_WAIT;
use crate::evaluation::Backoff;
use crate::metering::PoolMeter;
use crate::worker::{EndedBy, WorkerEnd, WorkerMessage, WorkerReport};

/// Names that a pool's workers may share.
const DEFINITIONS_MAX: usize = 1000;
/// How often a worker may ask for the same definition for one call.
const NEEDS_MAX: u32 = 3;

/// The state of a Pool actor.
pub(crate) struct Service {
    pub(super) arguments: PoolArguments,
    pub(super) myself: ActorRef<PoolMessage>,
    pub(super) plan: Plan,
    pub(super) members: BTreeMap<WorkerKey, Member>,
    pub(super) next_key: WorkerKey,
    pub(super) backoff: Backoff,
    pub(super) failed_starts: u32,
    /// Ids of workers whose places stay empty.
    pub(super) drained: Vec<String>,
    pub(super) restarts: u64,
    pub(super) window: Window,
    pub(super) last_call: Instant,
    calls: HashMap<CallId, Held>,
    next_call: CallId,
    definitions: HashMap<String, Bytes>,
    totals: Counts,
    meter: PoolMeter,
    began: Instant,
    dispatching: bool,
    ticking: bool,
    /// Places whose workers are started after a pause.
    pub(super) paused: usize,
    /// Some of its workers found no place: they are started again with the next call,
    pub(super) is_short: bool,
    /// or in a moment.
    pub(super) is_seeking: bool,
    /// Since when calls wait and none of its workers has a place.
    without_place: Option<Instant>,
}

/// The result, and what the call has changed in its session.
#[derive(Debug, Default)]
struct Given {
    result: Bytes,
    changes: Option<SessionChanges>,
    trace: Option<Bytes>,
}

struct Held {
    pending: Pending,
    /// The worker that has it, where somebody wants to know.
    worker: String,
    command: u32,
    queue_limit: Duration,
    assigned: Option<Instant>,
    attempt: u32,
    needs: u32,
}

impl Held {
    fn order(&self, id: CallId) -> Call {
        let request = &self.pending.request;
        Call {
            id,
            command: request.command.clone(),
            arguments: request.arguments.clone(),
            traceparent: request.traceparent.clone(),
            session: request.session.clone(),
        }
    }
}

impl Service {
    pub(super) fn new(arguments: PoolArguments, myself: ActorRef<PoolMessage>) -> Self {
        Self {
            myself,
            meter: PoolMeter::new(arguments.class),
            plan: Plan::new(arguments.context.parts.cpus),
            members: BTreeMap::new(),
            next_key: 1,
            backoff: Backoff::default(),
            failed_starts: 0,
            drained: Vec::new(),
            restarts: 0,
            window: Window::new(0),
            last_call: Instant::now(),
            calls: HashMap::new(),
            next_call: 1,
            definitions: HashMap::new(),
            totals: Counts::default(),
            began: Instant::now(),
            dispatching: false,
            ticking: false,
            paused: 0,
            is_short: false,
            is_seeking: false,
            without_place: None,
            arguments,
        }
    }

    pub(super) fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.now_us() / 1000
    }

    /// A call takes its place in the queue.
    pub(super) async fn enqueue(&mut self, pending: Pending) {
        self.last_call = Instant::now();
        let settings = &self.arguments.settings;
        let request = &pending.request;
        let mut queue_limit = request.queue_timeout.unwrap_or(settings.queue_timeout);
        if !self.plan.has_workers() {
            // Nobody can have answered yet: the interpreter is being started.
            queue_limit += settings.startup_timeout + COLD_START;
        }
        let limit = request.execution_timeout.unwrap_or(settings.execution_timeout);
        let command = self.plan.command(&request.command);
        self.meter.command(command, &request.command);
        let terms = Terms {
            command,
            queue_deadline_us: self.now_us() + micros(queue_limit),
            queue_limit_us: micros(queue_limit),
            limit_us: micros(limit),
            retries: request.retries.unwrap_or(settings.retries),
        };
        let id = self.next_call;
        self.next_call += 1;
        self.plan.enqueue(id, terms);
        let worker = String::new();
        self.calls.insert(id, Held { pending, worker, command, queue_limit, assigned: None, attempt: 0, needs: 0 });
        if !self.has_staying_workers() {
            self.start_for_a_call(id).await;
        } else if std::mem::take(&mut self.is_short) {
            self.start_workers().await;
        }
        if !self.dispatching {
            self.dispatching = true;
            // Fails only when this actor is stopping.
            let _ = self.myself.cast(PoolMessage::Dispatch);
        }
        self.keep_ticking();
    }

    pub(super) fn dispatch(&mut self) {
        self.dispatching = false;
        let now_us = self.now_us();
        let calls = &self.calls;
        let mut dropped = Vec::new();
        let orders = self.plan.assign(now_us, |id| {
            let wanted = calls.get(&id).is_some_and(|held| !held.pending.reply.is_closed());
            if !wanted {
                dropped.push(id);
            }
            wanted
        });
        dropped.iter().for_each(|id| {
            self.calls.remove(id);
        });
        if self.plan.occupancy().available > 0 {
            self.window.available(now_us / 1000);
        }
        for (key, assignments) in orders {
            self.meter.checked_out(assignments.len());
            let calls = assignments.iter().filter_map(|one| self.order(key, *one)).collect();
            self.send(key, WorkerMessage::Calls(calls));
        }
    }

    fn order(&mut self, key: WorkerKey, Assignment { call, attempt }: Assignment) -> Option<Call> {
        let held = self.calls.get_mut(&call)?;
        if held.pending.timing.is_some() {
            held.worker = self.members.get(&key).map(|member| member.id.clone()).unwrap_or_default();
        }
        held.assigned = Some(Instant::now());
        held.attempt = attempt;
        Some(held.order(call))
    }

    pub(super) fn send(&self, key: WorkerKey, message: WorkerMessage) {
        if let Some(member) = self.members.get(&key) {
            // A worker that is gone reports its end, and the plan takes its calls back.
            let _ = member.actor.cast(message);
        }
    }

    pub(super) async fn hear(&mut self, key: WorkerKey, report: WorkerReport) {
        match report {
            WorkerReport::Replies(replies) => {
                self.backoff.success();
                replies.into_iter().for_each(|reply| self.reply(key, reply));
                self.let_go(key);
            }
            WorkerReport::Returned(calls) => self.plan.returned(key, &calls, self.now_us()),
            WorkerReport::Placed => self.placed(key),
            WorkerReport::Serving => {
                self.joined(key);
                self.measure();
            }
            WorkerReport::Leave { replace } => self.leaving(key, replace).await,
            WorkerReport::Ended(end) => {
                self.worker_ended(key, &end).await;
                self.measure();
            }
            // Not said by a worker that serves calls.
            WorkerReport::Ready(_)
            | WorkerReport::Results(_)
            | WorkerReport::Fatal(_)
            | WorkerReport::Ask(_)
            | WorkerReport::Answers => {}
        }
        self.dispatch();
    }

    fn reply(&mut self, key: WorkerKey, reply: Reply) {
        let Reply { id, outcome, duration_us, cpu_us } = reply;
        let result = match outcome {
            Outcome::Done(result) => Ok(Given { result, ..Given::default() }),
            Outcome::Changed { result, changes } => Ok(Given { result, changes: Some(changes), trace: None }),
            Outcome::Traced { result, trace, changes } => Ok(Given { result, changes, trace: Some(trace) }),
            // The runtime's own word, see serving.py.
            Outcome::Failed(failure) if failure.exception == "UnknownCommand" => {
                Err(CallError::UnknownCommand(failure.message))
            }
            Outcome::Failed(failure) => Err(CallError::Failed(failure)),
            Outcome::Defined { result, name, body } => {
                self.define(&name, &body).map(|()| Given { result, ..Given::default() })
            }
            Outcome::Needs(name) => match self.tell(key, id, &name) {
                None => return,
                Some(error) => {
                    self.plan.abandon(key, id, self.now_us());
                    self.answer(id, key, Err(error), Duration::ZERO);
                    return;
                }
            },
        };
        if self.plan.finished(key, id, Took { duration_us, cpu_us }, self.now_us()) {
            self.answer(id, key, result, Duration::from_micros(duration_us));
        }
    }

    /// Tells a worker what it needs for a call, and gives it the call again.
    fn tell(&mut self, key: WorkerKey, id: CallId, name: &str) -> Option<CallError> {
        if !self.plan.is_held(key, id) {
            return None;
        }
        let held = self.calls.get_mut(&id)?;
        let own = held.pending.request.program.as_ref().filter(|program| program.name == name);
        let Some(body) = own.map(|program| &program.body).or_else(|| self.definitions.get(name)) else {
            return Some(CallError::NotDefined(name.to_owned()));
        };
        let define = Define { name: name.to_owned(), body: Some(body.clone()) };
        held.needs += 1;
        if held.needs > NEEDS_MAX {
            return Some(CallError::NotDefined(name.to_owned()));
        }
        let call = held.order(id);
        self.send(key, WorkerMessage::Define(define));
        self.send(key, WorkerMessage::Calls(vec![call]));
        None
    }

    /// All workers of the pool know the name from here on: what is sent to them later comes behind this. The one that defined it
    /// is told, too: of two that define the same name at once, all must end with the same.
    fn define(&mut self, name: &str, body: &Bytes) -> Result<(), CallError> {
        if self.definitions.len() >= DEFINITIONS_MAX && !self.definitions.contains_key(name) {
            return Err(CallError::TooManyDefinitions(DEFINITIONS_MAX));
        }
        self.definitions.insert(name.to_owned(), body.clone());
        for (&key, member) in &self.members {
            if member.ready {
                let define = Define { name: name.to_owned(), body: Some(body.clone()) };
                self.send(key, WorkerMessage::Define(define));
            }
        }
        Ok(())
    }

    fn answer(&mut self, id: CallId, key: WorkerKey, result: Result<Given, CallError>, executed: Duration) {
        let worker = self.members.get(&key).map(|member| member.id.clone()).unwrap_or_default();
        let Some(held) = self.calls.remove(&id) else { return };
        let assigned = held.assigned.unwrap_or(held.pending.since);
        self.meter.returned(held.command, executed);
        let reply = result.map(|Given { result, changes, trace }| CallReply {
            result,
            worker,
            queued: assigned.saturating_duration_since(held.pending.since),
            executed,
            attempt: held.attempt,
            changes,
            trace,
        });
        self.conclude(held, reply, Some(executed));
    }

    pub(super) fn fail(&mut self, id: CallId, error: CallError) {
        if let Some(held) = self.calls.remove(&id) {
            self.conclude(held, Err(error), None);
        }
    }

    fn conclude(&mut self, held: Held, reply: Result<CallReply, CallError>, executed: Option<Duration>) {
        let late = matches!(reply, Err(CallError::QueueTimeout { .. } | CallError::ClassFull { .. }));
        // A typing error says nothing about the pool.
        let mistyped = matches!(reply, Err(CallError::UnknownCommand(_)));
        let counts = Counts {
            requests: 1,
            errors: u64::from(reply.is_err() && !late && !mistyped),
            queue_timeouts: u64::from(late),
        };
        self.totals.requests += counts.requests;
        self.totals.errors += counts.errors;
        self.totals.queue_timeouts += counts.queue_timeouts;
        self.window.add(self.now_ms(), counts);
        let since = held.pending.since;
        let queued =
            held.assigned.map_or_else(|| since.elapsed(), |assigned| assigned.saturating_duration_since(since));
        self.meter.ended(reply.as_ref().err(), queued, since.elapsed());
        if let Some(timing) = &held.pending.timing {
            let executed = executed.or_else(|| Some(held.assigned?.elapsed())).unwrap_or_default();
            // Nobody else sets it.
            let _ = timing.set(CallTiming { worker: held.worker, queued, executed });
        }
        // The caller may have gone away.
        let _ = held.pending.reply.send(reply);
    }

    async fn worker_ended(&mut self, key: WorkerKey, end: &WorkerEnd) {
        let Some(member) = self.members.remove(&key) else { return };
        let cause = match (member.killed_for, end.by) {
            (Some(call), _) => Cause::Deadline { call },
            (None, EndedBy::Node) => Cause::Node,
            (None, EndedBy::Zygote) => Cause::Zygote,
            (None, EndedBy::Itself) => Cause::Crash,
        };
        for verdict in self.plan.worker_ended(key, cause, self.now_us()) {
            match verdict {
                Verdict::TimedOut { call, limit_us } => {
                    self.fail(call, CallError::TimedOut { limit: Duration::from_micros(limit_us) });
                }
                Verdict::WorkerLost { call, attempt } => {
                    let message = format!("{} (execution {attempt} of this call)", end.message);
                    self.fail(call, CallError::WorkerLost { message, output: end.output.clone() });
                }
            }
        }
        self.replace(&member, cause, end).await;
    }

    /// Calls that wait are told why no worker comes.
    pub(super) fn give_up_waiting(&mut self, error: &CallError) {
        for id in self.plan.give_up_waiting() {
            self.fail(id, error.clone());
        }
    }

    pub(super) fn tick(&mut self) {
        self.ticking = false;
        let now_us = self.now_us();
        let occupancy = self.plan.occupancy();
        for id in self.plan.expired(now_us) {
            let limit = self.calls.get(&id).map_or(Duration::ZERO, |held| held.queue_limit);
            let pool = self.arguments.class.name().to_owned();
            self.fail(id, CallError::QueueTimeout { pool, limit, busy: occupancy.busy, workers: occupancy.ready });
        }
        self.refuse_without_place();
        for (key, call) in self.plan.overdue(now_us) {
            if let Some(member) = self.members.get_mut(&key)
                && member.killed_for.is_none()
            {
                member.killed_for = Some(call);
                // Until its end is heard, nothing more is to die with it.
                self.plan.worker_leaving(key);
                let _ = member.actor.cast(WorkerMessage::Kill);
            }
        }
        for key in self.plan.recall(now_us) {
            self.send(key, WorkerMessage::Recall);
        }
        self.dispatch();
        self.measure();
        self.keep_ticking();
    }

    /// Calls that wait for workers none of which has a place, because their class is full, are told so as soon as they have waited
    /// long enough, or as long as they may.
    fn refuse_without_place(&mut self) {
        if self.members.values().any(|member| member.placed) {
            self.without_place = None;
            return;
        }
        let now = Instant::now();
        let began = *self.without_place.get_or_insert(now);
        let PoolArguments { context, class, settings, .. } = &self.arguments;
        let (pool, bulkhead) = (*class, context.bulkheads.of(*class));
        if !bulkhead.has_waiting() {
            return;
        }
        let places = bulkhead.places();
        let late = |(&id, held): (&CallId, &Held)| {
            let waited = held.pending.request.queue_timeout.unwrap_or(settings.queue_timeout).min(PLACE_WAIT);
            let since = held.pending.since.max(began);
            (now.saturating_duration_since(since) >= waited).then_some((id, waited))
        };
        let late: Vec<(CallId, Duration)> = self.calls.iter().filter_map(late).collect();
        if late.is_empty() {
            return;
        }
        let ids: Vec<CallId> = late.iter().map(|(id, _)| *id).collect();
        self.plan.withdraw(&ids);
        for (id, waited) in late {
            self.fail(id, CallError::ClassFull { pool, places, waited });
        }
        self.end_unplaced_workers();
    }

    pub(super) fn measure(&self) {
        let occupancy = self.plan.occupancy();
        self.meter.occupied(occupancy.queued, occupancy.available, occupancy.busy);
    }

    fn keep_ticking(&mut self) {
        if !self.ticking && !self.plan.is_idle() {
            self.ticking = true;
            self.myself.send_after(TICK_EVERY, || PoolMessage::Tick);
        }
    }

    pub(super) fn stats(&mut self) -> PoolStats {
        let now_ms = self.now_ms();
        let occupancy = self.plan.occupancy();
        if occupancy.available > 0 || self.members.is_empty() {
            self.window.available(now_ms);
        }
        let started = !self.members.is_empty();
        PoolStats {
            class: self.arguments.class,
            interpreter: self.arguments.caller.interpreter.display().to_string(),
            directory: self.arguments.caller.directory.display().to_string(),
            workers: occupancy.ready,
            starting: self.members.values().filter(|member| !member.ready).count(),
            available: occupancy.available,
            busy: occupancy.busy,
            drained: self.drained.len(),
            queued: occupancy.queued,
            in_flight: occupancy.in_flight,
            requests: self.totals.requests,
            errors: self.totals.errors,
            queue_timeouts: self.totals.queue_timeouts,
            refused: self.arguments.refused.load(Ordering::Relaxed),
            restarts: self.restarts,
            health: self.window.health(now_ms, started),
        }
    }

    pub(super) fn has_calls(&self) -> bool {
        !self.plan.is_idle()
    }
}

/// A cold interpreter imports dspy first; its own limit is a minute.
const COLD_START: Duration = Duration::from_secs(60);

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / 4).min(u64::MAX / 4)
}
