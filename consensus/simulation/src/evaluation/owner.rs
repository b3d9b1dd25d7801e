//! The owner of the run: a double of `actors/src/evaluation/{work,workers,remote}.rs` around the plan and the placement themselves. It knows
//! nothing of deadlines, back-off, environments and prints.

use std::collections::BTreeMap;

use dspex_model::{Employment, NodeId, OrderedExample, Run, RunStatus, Shipped, State, WorkOrder, WorkReport};

use super::RunMutant;
use super::acts::{Act, Hands, ProcessId, Recorded, Recording, Said, Teller};
use super::placement::{self, Site};
use super::plan::{Cause, Plan, Rules, WorkerKey};
use super::subject::{RUN, Subject, UNRECORDED_MAX};
use super::unrecorded::Unrecorded;

const CPUS: u32 = 2;
const WORKERS_MAX: u32 = 64;

/// Where the workers of a run are to be had.
#[derive(Debug)]
pub(super) struct Sites<'a> {
    pub(super) own: NodeId,
    /// Nodes with a line to the owner.
    pub(super) peers: Vec<NodeId>,
    pub(super) next_process: &'a mut ProcessId,
    pub(super) now_us: u64,
}

#[derive(Debug)]
pub(super) struct Owner {
    pub(super) epoch: u64,
    pub(super) plan: Plan,
    generation: u64,
    unrecorded: Unrecorded,
    members: BTreeMap<WorkerKey, Member>,
    next_key: WorkerKey,
    spec: dspex_model::RunSpec,
    mutant: Option<RunMutant>,
}

#[derive(Debug)]
struct Member {
    at: At,
    threads: u32,
    is_ready: bool,
}

#[derive(Debug, Clone, Copy)]
enum At {
    Here(ProcessId),
    There(NodeId),
}

/// Whether the owner goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Go,
    Stop,
}

impl Owner {
    /// `first_key`: no owner of this node has used it, or one after it.
    pub(super) fn open(own: NodeId, run: &Run, first_key: WorkerKey, mutant: Option<RunMutant>) -> Self {
        let rules = Rules {
            owner: own,
            retries: run.spec.retries,
            timeout_us: None,
            unrecorded_max: UNRECORDED_MAX,
            num_threads: run.spec.num_threads as usize,
            // Each execution is accounted for: a second one must have a loss as its cause.
            hedges: false,
        };
        Self {
            epoch: run.progress.epoch,
            plan: Plan::new(rules, run.missing()),
            generation: run.progress.generation,
            unrecorded: Unrecorded::default(),
            members: BTreeMap::new(),
            next_key: if mutant == Some(RunMutant::ReusesKeys) { 1 } else { first_key },
            spec: run.spec.clone(),
            mutant,
        }
    }

    pub(super) fn start(&mut self, sites: &mut Sites<'_>, acts: &mut Vec<Act>) {
        let wanted = (self.spec.workers as usize).min(self.plan.waiting()).max(1);
        for _ in 0..wanted {
            self.spawn(sites, acts);
        }
    }

    /// Starts a worker unless there are enough, with the threads that are missing.
    pub(super) fn spawn(&mut self, sites: &mut Sites<'_>, acts: &mut Vec<Act>) {
        let taken: u32 = self.members.values().map(|member| member.threads).sum();
        let free = self.spec.num_threads.saturating_sub(taken);
        if free == 0 || self.members.len() >= self.spec.workers as usize || self.plan.waiting() == 0 {
            return;
        }
        let key = self.next_key;
        self.next_key += 1;
        let places_left = self.spec.workers - self.members.len() as u32;
        let threads = free.div_ceil(places_left.max(1));
        let at = match self.chosen(sites) {
            Some(node) if node != sites.own => {
                let employment = Employment {
                    worker: key,
                    id: format!("worker-{key}"),
                    threads,
                    generation: self.generation,
                    spec: self.spec.clone(),
                    shipped: Shipped::default(),
                };
                self.order(node, WorkOrder::Employ(Box::new(employment)), acts);
                At::There(node)
            }
            _ => {
                *sites.next_process += 1;
                let (process, hands) = (*sites.next_process, Hands::Own { epoch: self.epoch, key });
                acts.push(Act::Launch { process, threads: threads as usize, hands });
                At::Here(process)
            }
        };
        self.members.insert(key, Member { at, threads, is_ready: false });
    }

    fn chosen(&self, sites: &Sites<'_>) -> Option<NodeId> {
        let held = |node: NodeId| {
            let is_at = |member: &&Member| match member.at {
                At::Here(_) => node == sites.own,
                At::There(there) => node == there,
            };
            self.members.values().filter(is_at).count() as u32
        };
        let site = |node: NodeId| {
            let held = held(node);
            Site {
                node,
                is_own: node == sites.own,
                cpus: CPUS,
                room: WORKERS_MAX - held,
                others: 0,
                held,
                drains: false,
            }
        };
        let all: Vec<Site> = sites.peers.iter().copied().chain([sites.own]).map(site).collect();
        placement::choose(&all)
    }

    fn order(&self, node: NodeId, what: WorkOrder, acts: &mut Vec<Act>) {
        acts.push(Act::Order { node, epoch: self.epoch, what });
    }

    /// Gives out what can be given out.
    pub(super) fn dispatch(&mut self, now_us: u64, acts: &mut Vec<Act>) {
        for (key, assignments) in self.plan.assign(now_us) {
            match self.members.get(&key).map(|member| member.at) {
                Some(At::Here(process)) => acts.push(Act::Execute { process, examples: assignments }),
                Some(At::There(node)) => {
                    let ordered = |one: &super::plan::Assignment| OrderedExample {
                        index: one.index,
                        attempt: one.attempt,
                        traceparent: None,
                    };
                    let examples = assignments.iter().map(ordered).collect();
                    self.order(node, WorkOrder::Execute { worker: key, examples }, acts);
                }
                None => {}
            }
        }
    }

    /// A worker of this node.
    pub(super) fn hear(
        &mut self,
        own: NodeId,
        (key, said): (WorkerKey, Said),
        (now_us, chance): (u64, u64),
        acts: &mut Vec<Act>,
    ) {
        match said {
            Said::Ready => self.ready(key, own),
            Said::Executed { held, duration_us } => {
                if self.plan.finished(key, held.index, duration_us, now_us) {
                    let result = Subject::result(held.index, held.attempt, self.generation, chance);
                    let teller = Teller::Owner { epoch: self.epoch };
                    acts.push(Act::Record(vec![Recording { generation: self.generation, result, teller }]));
                }
            }
            Said::Ended => self.worker_ended(key, Cause::Crash, acts),
        }
    }

    fn ready(&mut self, key: WorkerKey, site: NodeId) {
        if let Some(member) = self.members.get_mut(&key) {
            member.is_ready = true;
            self.plan.worker_joined(key, site, member.threads as usize);
        }
    }

    fn worker_ended(&mut self, key: WorkerKey, cause: Cause, acts: &mut Vec<Act>) {
        if self.members.remove(&key).is_some() {
            // Nothing is ever charged so often that it fails.
            self.plan.worker_ended(key, cause);
            acts.push(Act::Spawn { epoch: self.epoch });
        }
    }

    /// What another node says of this run's workers there.
    pub(super) fn hear_remote(
        &mut self,
        (node, what): (NodeId, WorkReport),
        state: &State,
        now_us: u64,
        acts: &mut Vec<Act>,
    ) -> Next {
        let is_there = |work: &Self, key: WorkerKey| {
            work.members.get(&key).is_some_and(|member| matches!(member.at, At::There(at) if at == node))
        };
        match what {
            WorkReport::Recorded { status, .. } => {
                self.forget_recorded(node, state);
                return self.recorded(Recorded { results: 0, status: status.unwrap_or_default() });
            }
            WorkReport::Executed { worker, examples } if is_there(self, worker) => {
                for example in examples {
                    if self.plan.finished(worker, example.index, example.duration_us, now_us)
                        && !self.unrecorded.executed(node, example.index)
                    {
                        self.plan.recorded_at(node, 1);
                    }
                }
            }
            WorkReport::Ready { worker, .. } if is_there(self, worker) => self.ready(worker, node),
            WorkReport::Ended { worker, .. } if is_there(self, worker) => {
                self.worker_ended(worker, Cause::Crash, acts);
            }
            _ => {}
        }
        Next::Go
    }

    pub(super) fn recorded(&mut self, recorded: Recorded) -> Next {
        self.plan.recorded(recorded.results);
        match recorded.status {
            RunStatus::Running => Next::Go,
            RunStatus::Paused => {
                self.plan.hold();
                Next::Go
            }
            _ => Next::Stop,
        }
    }

    fn forget_recorded(&mut self, node: NodeId, state: &State) {
        self.plan.recorded_at(node, self.unrecorded.forget_recorded(node, |index| !is_missing(state, index)));
    }

    /// What it must not believe.
    pub(super) fn is_deceived(&self) -> Option<String> {
        let on_their_way: usize = self.unrecorded.clone().give_up().into_iter().map(|(_, results)| results).sum();
        (self.plan.is_idle() && on_their_way > 0).then(|| {
            format!("owners know what is on its way: one takes itself for idle, and {on_their_way} results of other nodes are not in its log")
        })
    }

    /// How many results were lost with the node.
    pub(super) fn node_lost(&mut self, node: NodeId, state: &State, acts: &mut Vec<Act>) -> usize {
        let unrecorded = self.unrecorded.lost(node);
        let missing: Vec<u32> = unrecorded.iter().copied().filter(|index| is_missing(state, *index)).collect();
        let lost = missing.len();
        if self.mutant != Some(RunMutant::ForgetsLostResults) {
            self.plan.results_lost(node, unrecorded.len(), missing);
        }
        let at = |(&key, member): (&WorkerKey, &Member)| {
            matches!(member.at, At::There(there) if there == node).then_some(key)
        };
        let gone: Vec<WorkerKey> = self.members.iter().filter_map(at).collect();
        gone.into_iter().for_each(|key| self.worker_ended(key, Cause::Node, acts));
        lost
    }

    pub(super) fn tick(&mut self, state: &State, acts: &mut Vec<Act>) -> Next {
        if state.run(RUN).is_some_and(|run| run.progress.epoch > self.epoch) {
            return Next::Stop;
        }
        self.unrecorded.nodes().into_iter().for_each(|node| self.forget_recorded(node, state));
        if self.members.is_empty() && self.plan.waiting() > 0 {
            acts.push(Act::Spawn { epoch: self.epoch });
        }
        Next::Go
    }

    /// The workers end with the owner.
    pub(super) fn stop(&mut self, acts: &mut Vec<Act>) {
        for (key, member) in std::mem::take(&mut self.members) {
            match member.at {
                At::Here(process) => acts.push(Act::Kill { process, says: false }),
                At::There(node) => self.order(node, WorkOrder::Kill { worker: key }, acts),
            }
        }
    }
}

fn is_missing(state: &State, index: u32) -> bool {
    state.run(RUN).is_some_and(|run| run.is_missing(index))
}
