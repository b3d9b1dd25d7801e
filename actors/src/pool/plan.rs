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

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// Names a worker within a pool; never used twice.
pub(crate) type WorkerKey = u64;
/// Names a call within a pool; never used twice.
pub(crate) type CallId = u64;

/// What may wait inside a worker takes at most this long.
const BACKLOG_MAX_US: f64 = 5_000.0;
/// And it is at most so many calls.
const BACKLOG_MAX: usize = 64;
/// A call that others wait behind and that runs longer gives them back, when another worker is free.
const STALLED_US: u64 = 5_000;
/// Of the calls of a command that counts as computing, so many do nothing else.
const COMPUTING_MIN: f64 = 0.9;
/// Commands whose duration is remembered.
const COMMANDS_MAX: usize = 1024;
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

#[derive(Clone, Copy, Debug)]
struct Running {
    call: CallId,
    /// When it became one of the first `threads`; `None` while it waits in the worker.
    since_us: Option<u64>,
    expected_us: f64,
    /// It is quick, and only computes.
    computes: bool,
}

#[derive(Clone, Debug)]
struct Worker {
    threads: usize,
    assigned: VecDeque<Running>,
    /// What is expected of all that is assigned.
    backlog_us: f64,
    /// It executes a call alone, or is to run empty for one; nothing is added.
    solo: bool,
    /// It gets no more.
    leaving: bool,
    /// It was asked to give back what it has not started.
    recalled: bool,
}

impl Worker {
    fn is_open(&self) -> bool {
        !self.solo && !self.leaving && !self.recalled
    }

    /// What it executes takes longer than expected. Replies of quick calls come together, so nothing is slow before all that it
    /// holds could be done.
    fn is_stalled(&self, now_us: u64) -> bool {
        let patience = STALLED_US + self.backlog_us as u64;
        let slow = |running: &Running| running.since_us.is_some_and(|since| now_us.saturating_sub(since) >= patience);
        self.assigned.iter().any(slow)
    }

    /// It keeps a CPU busy, for a short while.
    fn computes(&self, now_us: u64) -> bool {
        self.assigned.iter().take(self.threads).any(|running| running.computes) && !self.is_stalled(now_us)
    }

    /// It is kept empty for a call that must run alone.
    fn is_kept(&self) -> bool {
        self.solo && self.assigned.is_empty() && !self.leaving && !self.recalled
    }

    fn has_free_thread(&self) -> bool {
        self.is_open() && self.assigned.len() < self.threads
    }

    fn start_next(&mut self, now_us: u64) {
        for running in self.assigned.iter_mut().take(self.threads) {
            running.since_us.get_or_insert(now_us);
        }
    }

    fn remove(&mut self, position: usize, now_us: u64) {
        if let Some(running) = self.assigned.remove(position) {
            self.backlog_us = if self.assigned.is_empty() { 0.0 } else { self.backlog_us - running.expected_us };
        }
        self.solo &= !self.assigned.is_empty();
        self.start_next(now_us);
    }
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

/// How long an execution took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Took {
    pub duration_us: u64,
    /// The CPU time of a call that never waited for anything but a CPU.
    pub cpu_us: Option<u64>,
}

/// What is known of a command, weighted towards its recent calls.
#[derive(Clone, Copy, Debug)]
struct Command {
    /// With a CPU for itself: a wait for a CPU says nothing of the command, and an idle worker would wait for the same CPU.
    own_us: f64,
    /// The part of its calls that only compute.
    computing: f64,
}

impl Command {
    fn measured(known: Option<Self>, took: Took) -> Self {
        let own_us = took.cpu_us.map_or(took.duration_us, |cpu| cpu.min(took.duration_us)) as f64;
        let computing = f64::from(u8::from(took.cpu_us.is_some()));
        known.map_or(Self { own_us, computing }, |known| Self {
            own_us: known.own_us + (own_us - known.own_us) / 16.0,
            computing: known.computing + (computing - known.computing) / 16.0,
        })
    }

    /// It is quick, and only computes.
    fn computes(self) -> bool {
        self.computing > COMPUTING_MIN && self.own_us < STALLED_US as f64
    }
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
    commands: HashMap<String, u32>,
    measured: Vec<Option<Command>>,
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
            commands: HashMap::new(),
            measured: Vec::new(),
        }
    }

    /// The number of a command; those beyond the limit share one that is never expected to be quick.
    pub(crate) fn command(&mut self, name: &str) -> u32 {
        if let Some(&known) = self.commands.get(name) {
            return known;
        }
        if self.commands.len() >= COMMANDS_MAX {
            return u32::MAX;
        }
        let number = u32::try_from(self.commands.len()).unwrap_or(u32::MAX);
        self.commands.insert(name.to_owned(), number);
        self.measured.push(None);
        number
    }

    /// A call waits for a worker.
    pub(crate) fn enqueue(&mut self, call: CallId, terms: Terms) {
        self.calls.insert(call, Call { terms, attempts: 0, charged: 0, zygote_deaths: 0 });
        self.deadlines.insert((terms.queue_deadline_us, call));
        self.queue.push_back(call);
    }

    /// A worker serves.
    pub(crate) fn worker_joined(&mut self, key: WorkerKey, threads: usize) {
        let worker = Worker {
            threads: threads.max(1),
            assigned: VecDeque::new(),
            backlog_us: 0.0,
            solo: false,
            leaving: false,
            recalled: false,
        };
        self.workers.insert(key, worker);
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
                let command = self.measured.get(call.terms.command as usize).copied().flatten();
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
        if let Some(held) = self.calls.remove(&call)
            && let Some(command) = self.measured.get_mut(held.terms.command as usize)
        {
            *command = Some(Command::measured(*command, took));
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

    /// Takes back a call that waits.
    pub(crate) fn withdraw(&mut self, call: CallId) {
        self.forget(call);
        self.queue.retain(|waiting| *waiting != call);
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

/// What there is for a call.
enum Place {
    Worker(WorkerKey),
    /// It only computes, and every CPU does.
    NoCpu,
    NoWorker,
}

/// The worker that gets the next call: an empty one for a call that must run alone, else one with a free thread, else the one
/// that will be through soonest, if that is soon. `quick` is `None` for a call that must not wait inside a worker.
fn place(
    workers: &BTreeMap<WorkerKey, Worker>,
    cpus: usize,
    alone: bool,
    quick: Option<Command>,
    now_us: u64,
) -> Place {
    if alone {
        let empty =
            workers.iter().find(|(_, worker)| worker.assigned.is_empty() && (worker.is_open() || worker.is_kept()));
        return empty.map_or(Place::NoWorker, |(&key, _)| Place::Worker(key));
    }
    let open = || workers.iter().filter(|(_, worker)| worker.is_open());
    let must_share = quick.is_some_and(Command::computes)
        && workers.values().filter(|worker| worker.computes(now_us)).count() >= cpus;
    let free = open().filter(|(_, worker)| worker.has_free_thread() && !must_share);
    if let Some((&key, _)) = free.min_by_key(|(_, worker)| worker.assigned.len() * 1000 / worker.threads) {
        return Place::Worker(key);
    }
    let full = if must_share { Place::NoCpu } else { Place::NoWorker };
    let Some(Command { own_us, .. }) = quick else { return full };
    let room = |worker: &Worker| {
        !worker.assigned.is_empty()
            && worker.assigned.len() < worker.threads + BACKLOG_MAX
            && worker.backlog_us + own_us <= BACKLOG_MAX_US
            && !worker.is_stalled(now_us)
    };
    let with_room = open().filter(|(_, worker)| room(worker));
    let soonest = with_room.min_by(|(_, one), (_, other)| one.backlog_us.total_cmp(&other.backlog_us));
    soonest.map_or(full, |(&key, _)| Place::Worker(key))
}

#[cfg(test)]
mod tests;
