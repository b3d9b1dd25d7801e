//! The workers of one run: how many, with how many threads, started and stopped.

use std::sync::Arc;

use bytes::Bytes;
use dspex_model::{Employment, NodeId, Presence, RunSpec, ScoreKind, WorkOrder};
use dspex_python::protocol::{Load, Number, PROTOCOL_VERSION};
use ractor::{ActorProcessingErr, ActorRef};
use uuid::Uuid;

use super::EvaluationMessage;
use super::placement::{self, Site};
use super::plan::{Cause, WorkerKey};
use super::work::Work;
use crate::run_workers::RunWorkersMessage;
use crate::submission::Caller;
use crate::worker::{LoadedProcess, Origin, WorkerMessage, WorkerOwner, WorkerPlace, WorkerService};

/// A worker of the run.
pub(crate) struct Member {
    pub(super) hands: Hands,
    pub(super) id: String,
    pub(super) threads: u32,
    pub(super) ready: bool,
    /// It is to end when it has finished what it has; whether another one is to take its place.
    pub(super) leaving: Option<bool>,
    pub(super) deadline: Deadline,
}

/// Where a worker is.
#[derive(Clone, Debug)]
pub(super) enum Hands {
    /// A process of this node.
    Here(ActorRef<WorkerMessage>),
    /// One of another node, named by the run and its key.
    There(NodeId),
}

impl Member {
    /// The node that it is on; `own` is this one.
    pub(super) fn site(&self, own: NodeId) -> NodeId {
        match self.hands {
            Hands::Here(_) => own,
            Hands::There(node) => node,
        }
    }
}

/// How a worker stands to the deadlines of its examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deadline {
    /// Nothing is late, as far as was seen.
    Met,
    /// An example is late, and the worker was asked at this time whether it answers at all.
    Asked { since_us: u64 },
    /// It was killed for it.
    Killed(Cause),
}

/// Threads of worker number `position`: `num_threads` divided among `workers`, the first ones get one more.
pub(crate) fn threads_of(num_threads: u32, workers: u32, position: u32) -> u32 {
    let workers = workers.clamp(1, num_threads.max(1));
    let threads = num_threads / workers + u32::from(position < num_threads % workers);
    threads.max(1)
}

impl Work {
    /// Starts as many workers as the run asks for, and as there are examples for; one may have loaded the program already.
    pub(super) async fn start_workers(&mut self, mut loaded: Option<LoadedProcess>) -> Result<(), ActorProcessingErr> {
        let examples = u32::try_from(self.plan.waiting()).unwrap_or(u32::MAX);
        let wanted = self.spec.workers.clamp(1, examples.max(1));
        for _ in 0..wanted {
            self.spawn_worker(loaded.take()).await?;
        }
        Ok(())
    }

    /// Starts a worker unless there are enough, with the threads that are missing.
    pub(super) async fn spawn_worker(&mut self, loaded: Option<LoadedProcess>) -> Result<(), ActorProcessingErr> {
        let taken: u32 = self.members.values().map(|member| member.threads).sum();
        let free = self.spec.num_threads.saturating_sub(taken);
        if free == 0 || self.members.len() + self.drained >= self.spec.workers as usize || self.plan.waiting() == 0 {
            return Ok(());
        }
        let place = if loaded.is_some() { Some(self.arguments.context.parts.node) } else { self.place() };
        let Some(node) = place else {
            self.unplaced += 1;
            return Ok(());
        };
        let key = self.next_key;
        self.next_key += 1;
        let places_left = self.spec.workers - u32::try_from(self.members.len()).unwrap_or(0);
        if node != self.arguments.context.parts.node {
            let threads = free.div_ceil(places_left.max(1));
            self.employ(node, key, threads);
            return Ok(());
        }
        let (threads, origin, id) = match loaded {
            Some(process) => {
                let id = process.process.handle.id().to_owned();
                (process.threads, Origin::Loaded(process), id)
            }
            None => {
                let threads = free.div_ceil(places_left.max(1));
                let Some(caller) = self.arguments.caller.clone() else { return Ok(()) };
                let load = Box::new(load(&self.spec, threads, self.payload.clone(), &caller));
                (threads, Origin::Launch { caller, load }, worker_id())
            }
        };
        let place = WorkerPlace {
            context: Arc::clone(&self.arguments.context),
            key,
            id: id.clone(),
            service: WorkerService::Run(self.arguments.run),
            owner: WorkerOwner::Evaluation(self.myself.clone(), Arc::clone(&self.arguments.board)),
            may_repeat: self.spec.retries > 0,
            memory_limit: None,
        };
        self.arguments.context.capacity.weigh(self.arguments.run, self.weight);
        let actor = ractor::call!(self.arguments.run_workers, |reply| RunWorkersMessage::Spawn(place, origin, reply))??;
        let hands = Hands::Here(actor);
        self.members.insert(key, Member { hands, id, threads, ready: false, leaving: None, deadline: Deadline::Met });
        Ok(())
    }

    /// The node that the next worker is started on. Here it may wait for room; `None`: this node takes none, and no other has room.
    fn place(&self) -> Option<NodeId> {
        let (own, sites) = (self.arguments.context.parts.node, self.sites());
        let is_taken_here = self.spec.shipped.is_none() || sites.iter().any(|site| site.is_own);
        placement::choose(&sites).or(is_taken_here.then_some(own))
    }

    /// The nodes that take workers of this run.
    pub(super) fn sites(&self) -> Vec<Site> {
        placement::taking(self.candidates(), self.is_starved())
    }

    /// The nodes that could execute the run, as far as is known.
    pub(super) fn candidates(&self) -> Vec<Site> {
        // A directory of this node is nowhere else.
        if self.spec.shipped.is_none() {
            return Vec::new();
        }
        let context = &self.arguments.context;
        let own = context.parts.node;
        let draining = context.draining_nodes();
        // Nodes of a cluster are set alike.
        let of_one_run_max = context.parts.runs.workers_per_run_max;
        let held = |node: NodeId| {
            let there = self.members.values().filter(|member| member.site(own) == node);
            u32::try_from(there.count()).unwrap_or(u32::MAX)
        };
        let site = |(node, presence): (NodeId, Presence)| {
            let held = held(node);
            Site {
                node,
                is_own: node == own,
                cpus: presence.cpus,
                // A word of presence may be older than the last order.
                room: placement::room(presence.workers_max, of_one_run_max, presence.workers.max(held), held),
                others: presence.workers.saturating_sub(held),
                held,
                drains: draining.contains(&node),
            }
        };
        let open = |(node, _): &(NodeId, Presence)| !self.shut_out.contains(*node);
        let peers = context.links.presences();
        let here = self.arguments.caller.as_ref().map(|_| (own, context.presence()));
        peers.into_iter().filter(open).chain(here).map(site).collect()
    }

    /// Has a worker started on another node.
    fn employ(&mut self, node: NodeId, key: WorkerKey, threads: u32) {
        let id = worker_id();
        let employment = Employment {
            worker: key,
            id: id.clone(),
            threads,
            generation: self.generation,
            spec: self.spec.clone(),
            shipped: self.spec.shipped.as_deref().cloned().unwrap_or_default(),
        };
        if self.weight != 1 {
            self.order(node, WorkOrder::Weigh { weight: self.weight });
        }
        let hands = Hands::There(node);
        self.arguments.board.spread();
        self.members.insert(key, Member { hands, id, threads, ready: false, leaving: None, deadline: Deadline::Met });
        self.order(node, WorkOrder::Employ(Box::new(employment)));
    }

    /// Tells a worker, wherever it is. One that is gone reports its end.
    pub(super) fn tell(&self, key: WorkerKey, message: WorkerMessage) {
        let Some(member) = self.members.get(&key) else { return };
        let node = match &member.hands {
            Hands::Here(actor) => return drop(actor.cast(message)),
            Hands::There(node) => *node,
        };
        match message {
            WorkerMessage::Ping => self.order(node, WorkOrder::Ping { worker: key }),
            WorkerMessage::Threads(count) => self.order(node, WorkOrder::Threads { worker: key, count }),
            WorkerMessage::Finish => self.order(node, WorkOrder::Finish { worker: key }),
            _ => self.order(node, WorkOrder::Kill { worker: key }),
        }
    }

    /// An operator has asked, its node drains, or it gives way or moves: the worker gets no more examples, and ends when it has finished
    /// those it has.
    pub(super) fn leaving(&mut self, key: WorkerKey, replace: bool) {
        let Some(member) = self.members.get_mut(&key) else { return };
        member.leaving.get_or_insert(replace);
        self.plan.worker_leaving(key);
        self.let_go(key);
        self.share_out();
    }

    /// Ends a worker that is to leave and has nothing left to do.
    pub(super) fn let_go(&mut self, key: WorkerKey) {
        let Some(member) = self.members.get(&key) else { return };
        let Some(replace) = member.leaving.filter(|_| member.ready && self.plan.held_by(key) == 0) else { return };
        self.tell(key, WorkerMessage::Finish);
        self.plan.worker_ended(key, Cause::Node);
        self.members.remove(&key);
        // A run without any worker would wait for ever.
        if replace || self.members.is_empty() {
            // Fails only when this actor is stopping.
            let _ = self.myself.cast(EvaluationMessage::SpawnWorker);
        } else {
            self.drained += 1;
        }
    }

    /// After the last example: a program may have something to do at its end.
    pub(super) fn finish_workers(&mut self) {
        for (&key, member) in &self.members {
            if member.ready {
                self.tell(key, WorkerMessage::Finish);
            } else {
                self.stop(key, member);
            }
        }
        self.members.clear();
    }

    /// At once: nobody waits for what they still execute.
    pub(super) fn stop_workers(&mut self) {
        for (&key, member) in &self.members {
            self.stop(key, member);
        }
        self.members.clear();
    }

    pub(super) fn stop(&self, key: WorkerKey, member: &Member) {
        match &member.hands {
            // Not a message: it must also reach a worker that waits for capacity.
            Hands::Here(actor) => actor.kill(),
            Hands::There(node) => self.order(*node, WorkOrder::Kill { worker: key }),
        }
    }
}

/// A name that is never used twice.
pub(crate) fn worker_id() -> String {
    format!("worker-{}", Uuid::now_v7())
}

/// What a worker of a stored run loads. The rows come with the orders, so the dataset is not loaded again.
pub(crate) fn load(spec: &RunSpec, threads: u32, payload: Option<Bytes>, caller: &Caller) -> Load {
    let load = Load {
        protocol: PROTOCOL_VERSION,
        threads,
        program: spec.program.clone(),
        metric: Some(spec.metric.clone()),
        lm: spec.lm.clone(),
        lm_settings: spec.lm_settings.clone(),
        state: spec.saved_state.clone(),
        inputs: Some(spec.inputs.clone()),
        columns: spec.dataset.columns.clone(),
        dataset: None,
        limit: None,
        text_cells: spec.dataset.text_cells,
        payload,
        failure_score: match spec.failure_score.kind {
            ScoreKind::Integer | ScoreKind::Boolean => Number::Integer(spec.failure_score.value as i64),
            ScoreKind::Float | ScoreKind::Object => Number::Float(spec.failure_score.value),
        },
        root: None,
        path: None,
    };
    placed(load, caller)
}

/// With a word on where code lies that was sent along.
pub(crate) fn placed(load: Load, caller: &Caller) -> Load {
    let Some(placed) = &caller.placed else { return load };
    let root = placed.bundle.as_ref().map(|bundle| bundle.root().to_string_lossy().into_owned());
    Load { root, path: Some(placed.path.clone()), ..load }
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").field("id", &self.id).field("threads", &self.threads).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_add_up_to_what_was_asked_for() {
        for (num_threads, workers) in [(8, 2), (7, 2), (1, 1), (64, 3), (2, 8)] {
            let used = workers.min(num_threads);
            let threads: Vec<u32> = (0..used).map(|position| threads_of(num_threads, workers, position)).collect();
            assert_eq!(threads.iter().sum::<u32>(), num_threads, "{num_threads} over {workers}: {threads:?}");
            assert!(threads.iter().all(|threads| *threads >= 1));
        }
    }
}
