//! A node: what the log has told it, what dies with it, and its workers.

use std::collections::{BTreeMap, VecDeque};

use dspex_model::{NodeId, State};

use super::acts::{Hands, Part, ProcessId, Recording};
use super::hosted::Hosted;
use super::owner::Owner;
use super::plan::Assignment;

#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    /// What it has applied, and up to which entry: survives it.
    pub(super) state: State,
    pub(super) applied: usize,
    pub(super) is_up: bool,
    /// Raised with each start: what was meant for an earlier life finds nobody.
    pub(super) life: u64,
    pub(super) asleep_until_us: u64,
    pub(super) isolated_until_us: u64,
    pub(super) owner: Option<Owner>,
    pub(super) parts: BTreeMap<Part, Hosted>,
    pub(super) processes: BTreeMap<ProcessId, Process>,
    pub(super) recorder: Recorder,
}

/// A worker.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) hands: Hands,
    pub(super) threads: usize,
    pub(super) is_ready: bool,
    queue: VecDeque<(Assignment, bool)>,
}

/// A double of `actors/src/recorder.rs`: results gather while the last ones are on their way.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    pub(super) gathered: Vec<Recording>,
    pub(super) is_flushing: bool,
}

impl Node {
    pub(super) fn new(id: NodeId) -> Self {
        Self {
            id,
            state: State::new(),
            applied: 0,
            is_up: true,
            life: 1,
            asleep_until_us: 0,
            isolated_until_us: 0,
            owner: None,
            parts: BTreeMap::new(),
            processes: BTreeMap::new(),
            recorder: Recorder::default(),
        }
    }

    /// kill -9: its workers go with it.
    pub(super) fn die(&mut self) {
        self.is_up = false;
        self.life += 1;
        (self.asleep_until_us, self.owner, self.recorder) = (0, None, Recorder::default());
        self.parts.clear();
        self.processes.clear();
    }

    /// Whether it can be reached, and reaches the log.
    pub(super) fn is_reachable(&self, now_us: u64) -> bool {
        self.is_up && now_us >= self.asleep_until_us && now_us >= self.isolated_until_us
    }
}

impl Process {
    pub(super) fn new(hands: Hands, threads: usize) -> Self {
        Self { hands, threads, is_ready: false, queue: VecDeque::new() }
    }

    pub(super) fn give(&mut self, examples: Vec<Assignment>) {
        self.queue.extend(examples.into_iter().map(|one| (one, false)));
    }

    /// Examples that it begins now: the first ones on its threads.
    pub(super) fn begin(&mut self) -> Vec<Assignment> {
        if !self.is_ready {
            return Vec::new();
        }
        let waiting = self.queue.iter_mut().take(self.threads).filter(|(_, begun)| !*begun);
        let begin = |(one, begun): &mut (Assignment, bool)| {
            *begun = true;
            *one
        };
        waiting.map(begin).collect()
    }

    /// An example has come to its end; `false`: the process never had it.
    pub(super) fn end(&mut self, ended: Assignment) -> bool {
        let position = self.queue.iter().position(|(one, begun)| *begun && *one == ended);
        position.is_some_and(|position| self.queue.remove(position).is_some())
    }
}
