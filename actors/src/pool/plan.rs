//! Which worker executes which call, and what a death means: decided here, over plain data. No actor, no clock, no process.
//!
//! ```text
//! queue --assign--> in a worker --finished--> gone
//!   ^  \-- too late: expired      |
//!   +---- solo <------------------+ the worker died: its calls run again one to a worker
//!   +-----------------------------+ the worker gives back what waits behind a slow call
//! ```
//!
//! A worker with a free thread gets the next call. When there is none, quick calls wait inside a worker, where they cost no
//! round trip; a call whose command has not been measured, or that may not run again, never does.
//!
//! Quick calls that only compute go to no more workers than there are CPUs: more would take turns, each time with cold
//! caches. A worker whose call turns out to be slow is not counted.

mod commands;
mod placing;
mod worker;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

pub(crate) use commands::Took;
use commands::{Command, Commands};
use placing::{BACKLOG_MAX_US, Place, place};
use worker::{Running, Worker};

/// Names a worker within a pool; never used twice.
pub(crate) type WorkerKey = u64;
/// Names a call within a pool; never used twice.
pub(crate) type CallId = u64;

/// So many ends of its zygote are bad luck for a call that was alone each time.
const ZYGOTE_DEATHS_MAX: u32 = 3;

/// What the plan must know of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Of its command, see [`Plan::command`].
    pub command: u32,
    /// When it has waited too long.
    pub queue_deadline_us: u64,
    /// How long that is.
    pub queue_limit_us: u64,
    /// How long it may take.
    pub limit_us: u64,
    /// Executions after a charged death.
    pub retries: u32,
}

/// An order to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub call: CallId,
    /// From 1; every execution counts, charged or not.
    pub attempt: u32,
}

/// Why a worker is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It ended by itself: a call may be to blame.
    Crash,
    /// It was killed because this call passed its limit.
    Deadline { call: CallId },
    /// The node's doing: never charged.
    Node,
    /// Its zygote ended. Not charged, until the same call has seen too many of them alone.
    Zygote,
}

/// A call that ends without a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    WorkerLost { call: CallId, attempt: u32 },
    TimedOut { call: CallId, limit_us: u64 },
}

#[derive(Clone, Debug)]
struct Call {
    terms: Terms,
    attempts: u32,
    charged: u32,
    zygote_deaths: u32,
}

/// How many workers do what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Occupancy {
    pub ready: usize,
    pub available: usize,
    pub busy: usize,
    pub queued: usize,
    pub in_flight: usize,
}

/// The state of a pool's calls.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    cpus: usize,
    calls: HashMap<CallId, Call>,
    queue: VecDeque<CallId>,
    /// From the front of the queue: what only computes, and waits for a CPU. The others go on meanwhile.
    computing: VecDeque<CallId>,
    solo: VecDeque<CallId>,
    deadlines: BTreeSet<(u64, CallId)>,
    workers: BTreeMap<WorkerKey, Worker>,
    commands: Commands,
}

impl Plan {
    /// `cpus`: how many the workers share.
    pub(crate) fn new(cpus: usize) -> Self {
        Self {
            cpus,
            calls: HashMap::new(),
            queue: VecDeque::new(),
            computing: VecDeque::new(),
            solo: VecDeque::new(),
            deadlines: BTreeSet::new(),
            workers: BTreeMap::new(),
            commands: Commands::default(),
        }
    }

    /// The number of a command; those beyond the limit share one that is never expected to be quick.
    pub(crate) fn command(&mut self, name: &str) -> u32 {
        self.commands.number(name)
    }

    /// A call waits for a worker.
    pub(crate) fn enqueue(&mut self, call: CallId, terms: Terms) {
        self.calls.insert(call, Call { terms, attempts: 0, charged: 0, zygote_deaths: 0 });
        self.deadlines.insert((terms.queue_deadline_us, call));
        self.queue.push_back(call);
    }

    /// A worker serves.
    pub(crate) fn worker_joined(&mut self, key: WorkerKey, threads: usize) {
        self.workers.insert(key, Worker::new(threads));
    }

    /// It gets no more calls.
    pub(crate) fn worker_leaving(&mut self, key: WorkerKey) {
        if let Some(worker) = self.workers.get_mut(&key) {
            worker.leaving = true;
        }
    }

    /// Gives out what can be given out, in the order in which it came. `wanted`: somebody still waits for the call.
    pub(crate) fn assign(
        &mut self,
        now_us: u64,
        mut wanted: impl FnMut(CallId) -> bool,
    ) -> BTreeMap<WorkerKey, Vec<Assignment>> {
        let mut orders: BTreeMap<WorkerKey, Vec<Assignment>> = BTreeMap::new();
        for line in [Line::Solo, Line::Computing, Line::Queue] {
            while let Some(&id) = self.line(line).front() {
                let Some(call) = self.calls.get(&id).filter(|_| wanted(id)) else {
                    self.line(line).pop_front();
                    self.forget(id);
                    continue;
                };
                let command = self.commands.known(call.terms.command);
                let quick = command.filter(|_| call.terms.retries > 0);
                match place(&self.workers, self.cpus, line == Line::Solo, quick, now_us) {
                    Place::Worker(key) => {
                        self.line(line).pop_front();
                        let assignment = self.hand_over(id, key, line == Line::Solo, command, now_us);
                        orders.entry(key).or_default().extend(assignment);
                    }
                    Place::NoCpu if line == Line::Queue => {
                        self.queue.pop_front();
                        self.computing.push_back(id);
                    }
                    Place::NoCpu | Place::NoWorker => break,
                }
            }
        }
        self.clear_a_worker();
        orders
    }

    fn line(&mut self, line: Line) -> &mut VecDeque<CallId> {
        match line {
            Line::Solo => &mut self.solo,
            Line::Computing => &mut self.computing,
            Line::Queue => &mut self.queue,
        }
    }

    fn hand_over(
        &mut self,
        id: CallId,
        key: WorkerKey,
        alone: bool,
        command: Option<Command>,
        now_us: u64,
    ) -> Option<Assignment> {
        let call = self.calls.get_mut(&id)?;
        let worker = self.workers.get_mut(&key)?;
        call.attempts += 1;
        self.deadlines.remove(&(call.terms.queue_deadline_us, id));
        let expected_us = command.map_or(BACKLOG_MAX_US, |command| command.own_us);
        let computes = command.is_some_and(Command::computes);
        worker.solo = alone;
        worker.backlog_us += expected_us;
        worker.assigned.push_back(Running { call: id, since_us: None, expected_us, computes });
        worker.start_next(now_us);
        Some(Assignment { call: id, attempt: call.attempts })
    }

    /// While calls wait that must run alone, one worker gets nothing more until it is empty; the others go on. Without one that
    /// waits, none is kept.
    fn clear_a_worker(&mut self) {
        let kept = |worker: &Worker| worker.solo && worker.assigned.len() != 1;
        if self.solo.is_empty() {
            self.workers.values_mut().filter(|worker| kept(worker)).for_each(|worker| worker.solo = false);
        } else if !self.workers.values().any(|worker| worker.solo) {
            let open = self.workers.values_mut().filter(|worker| worker.is_open());
            if let Some(worker) = open.min_by_key(|worker| worker.assigned.len()) {
                worker.solo = true;
            }
        }
    }

    /// A worker has executed a call. `false`: it was not given this call, the reply counts for nothing.
    pub(crate) fn finished(&mut self, key: WorkerKey, call: CallId, took: Took, now_us: u64) -> bool {
        if !self.release(key, call, now_us) {
            return false;
        }
        if let Some(held) = self.calls.remove(&call) {
            self.commands.measure(held.terms.command, took);
        }
        true
    }

    /// The worker could not execute the call yet: the same worker gets it again. Its place in the worker is kept.
    pub(crate) fn is_held(&self, key: WorkerKey, call: CallId) -> bool {
        self.workers.get(&key).is_some_and(|worker| worker.assigned.iter().any(|running| running.call == call))
    }

    /// Takes a call out: it has been answered otherwise.
    pub(crate) fn abandon(&mut self, key: WorkerKey, call: CallId, now_us: u64) {
        self.release(key, call, now_us);
        self.calls.remove(&call);
    }

    fn release(&mut self, key: WorkerKey, call: CallId, now_us: u64) -> bool {
        let Some(worker) = self.workers.get_mut(&key) else { return false };
        let Some(position) = worker.assigned.iter().position(|running| running.call == call) else { return false };
        worker.remove(position, now_us);
        true
    }

    /// A worker gives calls back that it has not started; they go where they came from.
    pub(crate) fn returned(&mut self, key: WorkerKey, calls: &[CallId], now_us: u64) {
        for &call in calls.iter().rev() {
            if self.release(key, call, now_us)
                && let Some(held) = self.calls.get_mut(&call)
            {
                held.attempts -= 1;
                self.deadlines.insert((held.terms.queue_deadline_us, call));
                self.queue.push_front(call);
            }
        }
        if let Some(worker) = self.workers.get_mut(&key) {
            worker.recalled = false;
        }
    }

    /// A worker is gone. The calls it held run again alone, or have failed: the verdicts. Each may wait for a worker as long as it
    /// might have at first.
    pub(crate) fn worker_ended(&mut self, key: WorkerKey, cause: Cause, now_us: u64) -> Vec<Verdict> {
        let Some(worker) = self.workers.remove(&key) else { return Vec::new() };
        let alone = worker.assigned.len() == 1;
        let mut verdicts = Vec::new();
        for Running { call: id, .. } in worker.assigned {
            let Some(call) = self.calls.get_mut(&id) else { continue };
            if matches!(cause, Cause::Deadline { call: late } if late == id) {
                verdicts.push(Verdict::TimedOut { call: id, limit_us: call.terms.limit_us });
            } else if call.may_run_again(alone, cause) {
                call.terms.queue_deadline_us = now_us.saturating_add(call.terms.queue_limit_us);
                self.deadlines.insert((call.terms.queue_deadline_us, id));
                self.solo.push_back(id);
                continue;
            } else {
                verdicts.push(Verdict::WorkerLost { call: id, attempt: call.attempts });
            }
            self.calls.remove(&id);
        }
        verdicts
    }

    /// Calls that have waited too long; they are gone.
    pub(crate) fn expired(&mut self, now_us: u64) -> Vec<CallId> {
        let mut expired = Vec::new();
        while let Some(&(deadline_us, call)) = self.deadlines.first()
            && deadline_us <= now_us
        {
            self.deadlines.pop_first();
            self.calls.remove(&call);
            expired.push(call);
        }
        if !expired.is_empty() {
            for waiting in [&mut self.queue, &mut self.computing, &mut self.solo] {
                waiting.retain(|call| self.calls.contains_key(call));
            }
        }
        expired
    }

    /// Takes back calls that wait.
    pub(crate) fn withdraw(&mut self, calls: &[CallId]) {
        calls.iter().for_each(|&call| self.forget(call));
        for waiting in [&mut self.queue, &mut self.computing, &mut self.solo] {
            waiting.retain(|call| self.calls.contains_key(call));
        }
    }

    /// Every call that waits; they are gone.
    pub(crate) fn give_up_waiting(&mut self) -> Vec<CallId> {
        let lines = [&mut self.solo, &mut self.computing, &mut self.queue];
        let waiting: Vec<CallId> = lines.into_iter().flat_map(|line| line.drain(..)).collect();
        self.deadlines.clear();
        waiting.iter().for_each(|call| {
            self.calls.remove(call);
        });
        waiting
    }

    /// Workers with a call that has passed its limit: to be killed with `Cause::Deadline`.
    pub(crate) fn overdue(&self, now_us: u64) -> Vec<(WorkerKey, CallId)> {
        let late = |running: &&Running| {
            let limit_us = self.calls.get(&running.call).map_or(u64::MAX, |call| call.terms.limit_us);
            running.since_us.is_some_and(|since| now_us.saturating_sub(since) >= limit_us)
        };
        let first = |(&key, worker): (&WorkerKey, &Worker)| {
            worker.assigned.iter().find(late).map(|running| (key, running.call))
        };
        self.workers.iter().filter_map(first).collect()
    }

    /// Workers in which calls wait behind a slow one while another worker is free, or have waited too long: they are to give
    /// them back.
    pub(crate) fn recall(&mut self, now_us: u64) -> Vec<WorkerKey> {
        let somebody_is_free = self.workers.values().any(Worker::has_free_thread);
        let late = |running: &Running| {
            let deadline_us = self.calls.get(&running.call).map_or(u64::MAX, |call| call.terms.queue_deadline_us);
            running.since_us.is_none() && deadline_us <= now_us
        };
        let mut keys = Vec::new();
        for (&key, worker) in &mut self.workers {
            if worker.recalled || worker.assigned.len() <= worker.threads {
                continue;
            }
            if (somebody_is_free && worker.is_stalled(now_us)) || worker.assigned.iter().any(late) {
                worker.recalled = true;
                keys.push(key);
            }
        }
        keys
    }

    /// How many workers do what.
    pub(crate) fn occupancy(&self) -> Occupancy {
        let workers = || self.workers.values();
        Occupancy {
            ready: self.workers.len(),
            available: workers().filter(|worker| worker.has_free_thread()).count(),
            busy: workers().filter(|worker| !worker.assigned.is_empty()).count(),
            queued: self.queue.len() + self.computing.len() + self.solo.len(),
            in_flight: workers().map(|worker| worker.assigned.len()).sum(),
        }
    }

    /// Calls that a worker was given and has not answered.
    pub(crate) fn held_by(&self, key: WorkerKey) -> usize {
        self.workers.get(&key).map_or(0, |worker| worker.assigned.len())
    }

    /// At least one worker serves.
    pub(crate) fn has_workers(&self) -> bool {
        !self.workers.is_empty()
    }

    /// Nothing waits and nothing runs.
    pub(crate) fn is_idle(&self) -> bool {
        self.calls.is_empty()
    }

    fn forget(&mut self, call: CallId) {
        if let Some(held) = self.calls.remove(&call) {
            self.deadlines.remove(&(held.terms.queue_deadline_us, call));
        }
    }
}

impl Call {
    fn may_run_again(&mut self, alone: bool, cause: Cause) -> bool {
        if self.terms.retries == 0 {
            return false;
        }
        let charge = alone
            && match cause {
                Cause::Crash => true,
                Cause::Deadline { .. } | Cause::Node => false,
                Cause::Zygote => {
                    self.zygote_deaths += 1;
                    self.zygote_deaths > ZYGOTE_DEATHS_MAX
                }
            };
        self.charged += u32::from(charge);
        self.charged <= self.terms.retries
    }
}

/// Those who wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    Solo,
    Computing,
    Queue,
}

#[cfg(test)]
mod tests;
