//! What to execute next, and what a death means: decided here, over plain data. No actor, no clock, no process.
//!
//! ```text
//! pending --assign--> assigned to a worker --finished--> unrecorded --recorded--> gone
//!    ^                     |
//!    +---- solo <----------+ the worker died: its examples run again one to a worker
//! ```
//!
//! A worker executes what it was given first come first served on `threads` threads, so the first `threads` of its
//! examples are the running ones; that is all the plan needs to judge deadlines without a message for each start.

// Said in full, as below: the simulation of runs compiles this file from elsewhere.
#[path = "plan/flight.rs"]
mod flight;
#[path = "plan/hedging.rs"]
pub(crate) mod hedging;
#[path = "plan/keeping.rs"]
mod keeping;
#[path = "plan/lost_results.rs"]
mod lost_results;
#[path = "plan/shares.rs"]
mod shares;

use std::collections::{BTreeMap, VecDeque};

use dspex_model::NodeId;

use super::prefetch::{self, MeanDuration};

/// So many ends of its zygote are bad luck for an example that was alone each time. Then it is charged: an example that
/// kills its zygote must not run for ever.
const ZYGOTE_DEATHS_MAX: u32 = 3;

/// Names a worker within a run; ids are never used twice.
pub(crate) type WorkerKey = u64;

/// The rules of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Where this is decided, and where failures without a result are recorded.
    pub owner: NodeId,
    /// Executions after a death that was charged to the example.
    pub retries: u32,
    /// Deadline of one example.
    pub timeout_us: Option<u64>,
    /// Results of each node that may be on their way to the log. With the examples in flight this bounds what a crash repeats.
    pub unrecorded_max: usize,
    /// Examples that execute at once, over all workers.
    pub num_threads: usize,
    /// A straggler may be executed a second time.
    pub hedges: bool,
}

/// An order to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub index: u32,
    /// From 1; every execution counts, charged or not.
    pub attempt: u32,
}

/// Why a worker is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It ended by itself: the program may be to blame.
    Crash,
    /// It was killed because this example passed its deadline.
    Deadline { index: u32 },
    /// It was killed because this example passed its deadline and the process did not answer: any of its examples may hold
    /// the interpreter, so each is tried alone.
    Unresponsive { index: u32 },
    /// The node's doing (drain, its memory): never charged.
    Node,
    /// Its zygote ended. Not charged, until the same example has seen too many of them alone.
    Zygote,
}

/// An example that failed without a result of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    WorkerLost(Assignment),
    TimedOut(Assignment),
}

#[derive(Clone, Debug)]
struct Running {
    assignment: Assignment,
    /// When it became one of the first `threads`; `None` while it waits in the worker.
    since_us: Option<u64>,
}

#[derive(Clone, Debug)]
struct Worker {
    /// Where it is.
    site: NodeId,
    /// Examples that it executes at once.
    threads: usize,
    /// That number can be changed.
    elastic: bool,
    assigned: VecDeque<Running>,
    /// It executes an example alone; nothing is added.
    solo: bool,
    /// It gets nothing more.
    leaving: bool,
}

impl Worker {
    fn start_next(&mut self, now_us: u64) {
        for running in self.assigned.iter_mut().take(self.threads) {
            running.since_us.get_or_insert(now_us);
        }
    }
}

/// The state of a run's execution.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    rules: Rules,
    pending: VecDeque<u32>,
    solo: VecDeque<u32>,
    workers: BTreeMap<WorkerKey, Worker>,
    attempts: BTreeMap<u32, u32>,
    charged: BTreeMap<u32, u32>,
    /// Ends of their zygotes that examples saw alone.
    zygote_deaths: BTreeMap<u32, u32>,
    unrecorded: flight::OnTheirWay,
    duration: MeanDuration,
    usual: hedging::Usual,
    /// Examples that were given out a second time while they were running, and whether one of the two has a result.
    hedged: BTreeMap<u32, bool>,
    /// Nothing more is given out.
    is_held: bool,
    /// Another owner is to give out what is left.
    is_kept: bool,
}

impl Plan {
    /// `missing`: the examples without a result, in order.
    pub(crate) fn new(rules: Rules, missing: impl IntoIterator<Item = u32>) -> Self {
        Self {
            rules,
            pending: missing.into_iter().collect(),
            solo: VecDeque::new(),
            workers: BTreeMap::new(),
            attempts: BTreeMap::new(),
            charged: BTreeMap::new(),
            zygote_deaths: BTreeMap::new(),
            unrecorded: flight::OnTheirWay::default(),
            duration: MeanDuration::default(),
            usual: hedging::Usual::default(),
            hedged: BTreeMap::new(),
            is_held: false,
            is_kept: false,
        }
    }

    /// The run is paused: nothing more is given out.
    pub(crate) fn hold(&mut self) {
        self.is_held = true;
    }

    /// Whether the run is paused.
    pub(crate) fn is_held(&self) -> bool {
        self.is_held
    }

    /// Whether all that was given out before a pause has come back. Results on their way to the log get there without a plan, and
    /// those of a node that was lost are never said to have.
    pub(crate) fn has_run_out(&self) -> bool {
        self.is_held && self.in_flight() == 0
    }

    /// A worker is ready for work. One with a single thread keeps it: it executes on the program's main thread.
    pub(crate) fn worker_joined(&mut self, key: WorkerKey, site: NodeId, threads: usize) {
        let threads = threads.max(1);
        let assigned = VecDeque::new();
        let worker = Worker { site, threads, elastic: threads > 1, assigned, solo: false, leaving: false };
        self.workers.insert(key, worker);
    }

    /// It gets nothing more.
    pub(crate) fn worker_leaving(&mut self, key: WorkerKey) {
        if let Some(worker) = self.workers.get_mut(&key) {
            worker.leaving = true;
        }
    }

    /// Gives out what can be given out: to the least loaded worker first, so that the last examples are spread evenly.
    pub(crate) fn assign(&mut self, now_us: u64) -> BTreeMap<WorkerKey, Vec<Assignment>> {
        let mut orders: BTreeMap<WorkerKey, Vec<Assignment>> = BTreeMap::new();
        let mut flights = flight::Flights::of(self);
        while let Some((key, index)) = self.next(&flights) {
            let assignment = self.attempt(index);
            if let Some(worker) = self.workers.get_mut(&key) {
                flights.add(worker.site);
                worker.assigned.push_back(Running { assignment, since_us: None });
                worker.start_next(now_us);
            }
            orders.entry(key).or_default().push(assignment);
        }
        orders
    }

    fn attempt(&mut self, index: u32) -> Assignment {
        let attempt = self.attempts.entry(index).or_default();
        *attempt += 1;
        Assignment { index, attempt: *attempt }
    }

    /// The next example and the worker that gets it. Examples that must run alone go first: they wait for an empty worker,
    /// and while they wait no worker is filled up.
    fn next(&mut self, flights: &flight::Flights) -> Option<(WorkerKey, u32)> {
        if self.gives_nothing() {
            return None;
        }
        // A worker that has just had more threads than now has its examples still.
        let may_start = self.running() < self.rules.num_threads;
        if !self.solo.is_empty() {
            if !may_start {
                return None;
            }
            let is_free =
                |worker: &Worker| worker.assigned.is_empty() && !worker.leaving && flights.has_room(worker.site);
            let (&key, worker) = self.workers.iter_mut().find(|(_, worker)| is_free(worker))?;
            worker.solo = true;
            return Some((key, self.solo.pop_front()?));
        }
        if self.pending.is_empty() {
            return None;
        }
        let (mean, retries) = (self.duration, self.rules.retries);
        let room = |worker: &Worker| {
            let waiting = if retries == 0 { 0 } else { prefetch::examples(worker.threads, mean) };
            let held = worker.assigned.len();
            let has_room = if held < worker.threads { may_start } else { held < worker.threads + waiting };
            !worker.solo && !worker.leaving && has_room && flights.has_room(worker.site)
        };
        let load = |worker: &Worker| worker.assigned.len() * 1000 / worker.threads;
        let open = self.workers.iter().filter(|(_, worker)| room(worker));
        let (&key, _) = open.min_by_key(|(_, worker)| load(worker))?;
        Some((key, self.pending.pop_front()?))
    }

    /// A worker reports an example as done. `false`: it was not given this example, the report counts for nothing.
    pub(crate) fn finished(&mut self, key: WorkerKey, index: u32, duration_us: u64, now_us: u64) -> bool {
        let Some(worker) = self.workers.get_mut(&key) else { return false };
        let Some(position) = worker.assigned.iter().position(|held| held.assignment.index == index) else {
            return false;
        };
        let site = worker.site;
        worker.assigned.remove(position);
        worker.solo &= !worker.assigned.is_empty();
        worker.start_next(now_us);
        self.duration.add(duration_us);
        self.usual.add(duration_us);
        self.unrecorded.begin(site, 1);
        if let Some(settled) = self.hedged.get_mut(&index) {
            *settled = true;
        }
        true
    }

    /// So many results of the owner's node are in the log, or were refused.
    pub(crate) fn recorded(&mut self, results: usize) {
        self.recorded_at(self.rules.owner, results);
    }

    /// The same of another node's.
    pub(crate) fn recorded_at(&mut self, node: NodeId, results: usize) {
        self.unrecorded.end(node, results);
    }

    /// A worker is gone. The examples it held run again alone, or have failed: the verdicts.
    pub(crate) fn worker_ended(&mut self, key: WorkerKey, cause: Cause) -> Vec<Verdict> {
        let Some(worker) = self.workers.remove(&key) else { return Vec::new() };
        let alone = worker.assigned.len() == 1;
        let (mut verdicts, mut again) = (Vec::new(), Vec::new());
        for Running { assignment, .. } in worker.assigned {
            let index = assignment.index;
            if self.has_another(index) {
                continue;
            }
            let late = match cause {
                Cause::Deadline { index: late } => late == index,
                Cause::Unresponsive { index: late } => late == index && (alone || self.rules.retries == 0),
                Cause::Crash | Cause::Node | Cause::Zygote => false,
            };
            if late {
                verdicts.push(Verdict::TimedOut(assignment));
            } else if self.may_run_again(index, alone, cause) {
                // Where the node is to blame they are not suspected of anything.
                match cause {
                    Cause::Node => again.push(index),
                    _ => self.solo.push_back(index),
                }
            } else {
                verdicts.push(Verdict::WorkerLost(assignment));
            }
        }
        again.into_iter().rev().for_each(|index| self.pending.push_front(index));
        self.unrecorded.begin(self.rules.owner, verdicts.len());
        verdicts
    }

    fn may_run_again(&mut self, index: u32, alone: bool, cause: Cause) -> bool {
        if self.rules.retries == 0 {
            return false;
        }
        let charge = alone
            && match cause {
                Cause::Crash => true,
                Cause::Deadline { .. } | Cause::Unresponsive { .. } | Cause::Node => false,
                Cause::Zygote => {
                    let deaths = self.zygote_deaths.entry(index).or_default();
                    *deaths += 1;
                    *deaths > ZYGOTE_DEATHS_MAX
                }
            };
        let charged = self.charged.entry(index).or_default();
        *charged += u32::from(charge);
        *charged <= self.rules.retries
    }

    /// Workers that hold an example past its deadline: to be killed with `Cause::Deadline`.
    pub(crate) fn overdue(&self, now_us: u64) -> Vec<(WorkerKey, u32)> {
        let Some(timeout_us) = self.rules.timeout_us else { return Vec::new() };
        self.running_for(now_us, timeout_us)
    }

    /// Examples that the worker was given and has not reported.
    pub(crate) fn held_by(&self, key: WorkerKey) -> usize {
        self.workers.get(&key).map_or(0, |worker| worker.assigned.len())
    }

    /// Whether the worker holds one example and no other.
    pub(crate) fn is_alone(&self, key: WorkerKey) -> bool {
        self.held_by(key) == 1
    }

    /// Workers with an example that has been running for so long, and the first such example of each.
    pub(crate) fn running_for(&self, now_us: u64, least_us: u64) -> Vec<(WorkerKey, u32)> {
        let old = |held: &&Running| held.since_us.is_some_and(|since| now_us.saturating_sub(since) >= least_us);
        let first = |(&key, worker): (&WorkerKey, &Worker)| {
            let mut counting = worker.assigned.iter().filter(|held| !self.is_settled(held.assignment.index));
            counting.find(old).map(|held| (key, held.assignment.index))
        };
        self.workers.iter().filter_map(first).collect()
    }

    /// Executions that workers have been given and that somebody waits for.
    pub(crate) fn in_flight(&self) -> usize {
        self.workers.values().map(|worker| self.awaited_of(worker)).sum()
    }

    fn awaited_of(&self, worker: &Worker) -> usize {
        match self.hedged.is_empty() {
            true => worker.assigned.len(),
            false => worker.assigned.iter().filter(|held| !self.is_settled(held.assignment.index)).count(),
        }
    }

    /// Examples that are executing.
    fn running(&self) -> usize {
        // Those are the first of each worker, so that none of the others is looked at.
        let of = |worker: &Worker| worker.assigned.iter().take_while(|held| held.since_us.is_some()).count();
        self.workers.values().map(of).sum()
    }

    /// Examples that nobody holds and somebody should.
    pub(crate) fn waiting(&self) -> usize {
        if self.gives_nothing() { 0 } else { self.pending.len() + self.solo.len() }
    }
}

// Said in full: the simulation of runs compiles this file from elsewhere.
#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
