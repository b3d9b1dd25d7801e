//! The world in which a run is simulated: one event after another.

mod faults;
mod log;

use std::collections::{BTreeMap, BTreeSet};

use dspex_model::{Command, Digest, NodeId, PeerMessage, RunOrder, RunReport, RunStatus, WorkOrder};
use tokio::Random;

use super::acts::{Act, Hands, Part, ProcessId, Recorded, Said, Teller};
use super::hosted::Hosted;
use super::ledger::Ledger;
use super::lines::Lines;
use super::node::{Node, Process};
use super::owner::{Next, Owner, Sites};
use super::plan::Assignment;
use super::story::{Story, What};
use super::subject::{RUN, Subject, UNRECORDED_MAX};
use super::tally::Tally;
use super::{Evaluation, RunMutant};

const MS: u64 = 1_000;
/// After the last fault a run has so long to finish.
const FINISHES_WITHIN_US: u64 = 60_000 * MS;
/// Workers of a lost owner live so long at the most, and a little longer.
const ORPHANED_US: u64 = 60_000 * MS;
const LOOK_EVERY_US: u64 = 5_000 * MS;
const TICK_US: u64 = 1_000 * MS;

/// What comes next for a node in one of its lives.
#[derive(Debug)]
enum Event {
    Happens(What),
    Starts(NodeId),
    /// The log tells the leader's watch of owners what to look at.
    Watches,
    /// Somebody goes on with a run that rests.
    GoesOn,
    /// The failed examples of a run that rests are to be executed again.
    Retries,
    Joins(NodeId, NodeId),
    /// Both lives: the line's and the receiver's.
    Arrives {
        from: NodeId,
        line: u64,
        bytes: Vec<u8>,
    },
    Learns {
        peer: NodeId,
        line: u64,
    },
    /// An order could not be put on its way.
    Unsaid {
        epoch: u64,
        peer: NodeId,
    },
    Loaded(ProcessId),
    Executed(ProcessId, Assignment),
    Says(Hands, Said),
    Applies,
    Proposed {
        command: Command,
        told: Vec<(Teller, usize)>,
    },
    Answered {
        told: Vec<(Teller, usize)>,
        status: RunStatus,
    },
    Flushes,
    Flushed,
    Spawns {
        epoch: u64,
    },
    Ticks,
    Looks,
    OrphansEnd(Part),
}

/// An event, and the node and life that it is meant for.
#[derive(Debug)]
struct Due {
    to: Option<(NodeId, u64)>,
    event: Event,
}

/// What was broken; score and digest of the run; what was done.
type Lived = (Option<String>, Option<(Option<f64>, Digest)>, Tally);

#[derive(Debug)]
pub(super) struct World {
    random: Random,
    subject: Subject,
    mutant: Option<RunMutant>,
    voters: usize,
    now_us: u64,
    due: BTreeMap<(u64, u64), Due>,
    sequence: u64,
    nodes: BTreeMap<NodeId, Node>,
    lines: Lines,
    ledger: Ledger,
    leaderless_until_us: u64,
    /// The owner that the leader does not hear, and since when.
    absent: Option<(NodeId, NodeId, u64)>,
    next_process: ProcessId,
    begun: BTreeSet<u32>,
    calm_from_us: u64,
    violation: Option<String>,
    tally: Tally,
}

impl World {
    pub(super) fn new(evaluation: Evaluation, subject: Subject, story: Story) -> Self {
        let Evaluation { seed, nodes, mutant } = evaluation;
        let nodes: BTreeMap<NodeId, Node> = (1..=nodes).map(NodeId).map(|id| (id, Node::new(id))).collect();
        // Two would agree on less than one.
        let voters = [1, 3, 5].into_iter().filter(|voters| *voters <= nodes.len()).max().unwrap_or(1);
        let mut world = Self {
            random: Random::stream(seed, "world"),
            ledger: Ledger::new(subject.clone(), mutant),
            subject,
            mutant,
            voters,
            now_us: 0,
            due: BTreeMap::new(),
            sequence: 0,
            nodes,
            lines: Lines::default(),
            leaderless_until_us: 0,
            absent: None,
            next_process: 0,
            begun: BTreeSet::new(),
            calm_from_us: 0,
            violation: None,
            tally: Tally::default(),
        };
        for event in story.events {
            let begins_us = event.at_ms * MS;
            world.calm_from_us = world.calm_from_us.max(begins_us + event.what.lasts_ms() * MS);
            world.at(begins_us, None, Event::Happens(event.what));
        }
        world
    }

    /// Lives until the run has finished and nothing of it can be left; what was broken, the run's result, and what was done.
    pub(super) fn live(mut self) -> Lived {
        self.begin();
        let mut finished_us = None;
        while self.violation.is_none() {
            let Some((&(at_us, sequence), _)) = self.due.first_key_value() else { break };
            self.now_us = at_us;
            if let Some(due) = self.due.remove(&(at_us, sequence)) {
                self.meet(due);
            }
            if finished_us.is_none() && self.ledger.progress().status == RunStatus::Finished {
                finished_us = Some(self.now_us);
            }
            // Late results, and the longest lives of workers that nobody wants.
            let over = finished_us.map(|at: u64| at.max(self.calm_from_us) + ORPHANED_US + 2 * LOOK_EVERY_US);
            match over {
                Some(over_us) if self.now_us > over_us => break,
                None if self.now_us > self.calm_from_us + FINISHES_WITHIN_US => {
                    self.violation = Some(self.unfinished());
                }
                _ => {}
            }
        }
        self.end();
        let progress = self.ledger.progress();
        let result = progress.digest.map(|digest| (progress.score, digest));
        (self.violation, result, self.tally)
    }

    fn begin(&mut self) {
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        for (position, &one) in ids.iter().enumerate() {
            for &other in &ids[position + 1..] {
                self.lines.join(one, other, 0);
            }
            self.regularly(one);
        }
        let command = self.subject.submission(NodeId(1), 2 * ids.len() as u32);
        self.commit(&command);
        self.at(0, None, Event::Watches);
        self.at(700 * MS, None, Event::GoesOn);
    }

    /// What a node does again and again, from its start.
    fn regularly(&mut self, node: NodeId) {
        self.soon(node, LOOK_EVERY_US, Event::Looks);
        self.soon(node, TICK_US, Event::Ticks);
    }

    fn unfinished(&self) -> String {
        let progress = self.ledger.progress();
        let (done, of, status) = (progress.done, self.subject.examples, progress.status.name());
        format!("runs finish: {done} of {of} are done a minute after the last fault, and the run is {status}")
    }

    fn end(&mut self) {
        let progress = self.ledger.progress();
        self.tally.entries = self.ledger.len() as u64;
        self.tally.duplicates = u64::from(progress.duplicates);
        self.tally.fenced = self.ledger.fenced;
        self.tally.owners = progress.epoch.saturating_sub(1);
        self.tally.again_max += self.ledger.retried;
        let staying: usize = self.nodes.values().map(|node| node.processes.len()).sum();
        let Tally { again, again_max, .. } = self.tally;
        let wrong = match self.violation {
            Some(_) => None,
            None if staying > 0 => Some(format!("no worker stays: {staying} are there long after the run")),
            None if again > again_max => Some(format!(
                "only what was in flight runs again: {again} examples did, and at most {again_max} were in flight at a fault"
            )),
            None => None,
        };
        self.violation = self.violation.take().or(wrong);
    }

    fn at(&mut self, at_us: u64, to: Option<(NodeId, u64)>, event: Event) {
        self.sequence += 1;
        self.due.insert((at_us, self.sequence), Due { to, event });
    }

    /// For a node in its present life.
    fn soon(&mut self, node: NodeId, in_us: u64, event: Event) {
        let life = self.nodes[&node].life;
        self.at(self.now_us + in_us, Some((node, life)), event);
    }

    fn meet(&mut self, Due { to, event }: Due) {
        let Some((id, life)) = to else { return self.happen(&event) };
        let node = &self.nodes[&id];
        if node.life != life || !node.is_up {
            return;
        }
        if node.asleep_until_us > self.now_us {
            let wakes_us = node.asleep_until_us;
            return self.at(wakes_us, to, event);
        }
        let mut acts = Vec::new();
        match event {
            Event::Arrives { from, line, bytes } => self.arrive(id, from, line, &bytes, &mut acts),
            Event::Learns { peer, line } => self.learn(id, peer, line, &mut acts),
            Event::Unsaid { epoch, peer } => self.node_lost(id, peer, Some(epoch), &mut acts),
            Event::Loaded(process) => {
                if let Some(loaded) = self.node(id).processes.get_mut(&process) {
                    loaded.is_ready = true;
                    let hands = loaded.hands;
                    self.hear(id, hands, Said::Ready, &mut acts);
                }
            }
            Event::Executed(process, example) => self.executed(id, process, example, &mut acts),
            Event::Says(hands, said) => self.hear(id, hands, said, &mut acts),
            Event::Applies => self.apply(id, &mut acts),
            Event::Proposed { command, told } => self.propose(id, command, told),
            Event::Answered { told, status } => self.answered(id, &told, status, &mut acts),
            Event::Flushes => self.flush(id),
            Event::Flushed => self.flushed(id),
            Event::Spawns { epoch } => {
                self.with_owner(id, epoch, &mut acts, |owner, sites, acts| {
                    owner.spawn(sites, acts);
                    Next::Go
                });
            }
            Event::Ticks => self.tick(id, &mut acts),
            Event::Looks => self.look(id, &mut acts),
            Event::OrphansEnd(part) => {
                if let Some(hosted) = self.node(id).parts.get_mut(&part) {
                    hosted.end_orphans(&mut acts);
                }
            }
            other => self.happen(&other),
        }
        self.perform(id, acts);
    }

    fn node(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(&id).expect("a node of this world")
    }

    /// Lets the owner at a node act, where it is the one of this epoch; then it gives out what can be given out.
    fn with_owner(
        &mut self,
        id: NodeId,
        epoch: u64,
        acts: &mut Vec<Act>,
        act: impl FnOnce(&mut Owner, &mut Sites<'_>, &mut Vec<Act>) -> Next,
    ) {
        let peers: Vec<NodeId> = self.nodes.keys().copied().filter(|peer| self.lines.is_up(id, *peer)).collect();
        let Some(mut owner) = self.node(id).owner.take() else { return };
        let now_us = self.now_us;
        if owner.epoch != epoch {
            self.node(id).owner = Some(owner);
            return;
        }
        let mut sites = Sites { own: id, peers, next_process: &mut self.next_process, now_us };
        let next = act(&mut owner, &mut sites, acts);
        if next == Next::Stop || owner.plan.has_run_out() {
            owner.stop(acts);
            return;
        }
        self.violation = self.violation.take().or(owner.is_deceived());
        owner.dispatch(now_us, acts);
        self.node(id).owner = Some(owner);
    }

    fn epoch(&self, id: NodeId) -> u64 {
        self.nodes[&id].owner.as_ref().map_or(0, |owner| owner.epoch)
    }

    /// A process of a node says something to whoever it belongs to.
    fn hear(&mut self, id: NodeId, hands: Hands, said: Said, acts: &mut Vec<Act>) {
        let chance = self.random.draw();
        match hands {
            Hands::Own { epoch, key } => self.with_owner(id, epoch, acts, |owner, sites, acts| {
                owner.hear(sites.own, (key, said), (sites.now_us, chance), acts);
                Next::Go
            }),
            Hands::Hosted { part, key } => {
                if let Some(hosted) = self.node(id).parts.get_mut(&part) {
                    hosted.hear(key, said, chance, acts);
                }
            }
        }
    }

    fn executed(&mut self, id: NodeId, process: ProcessId, example: Assignment, acts: &mut Vec<Act>) {
        let Some(held) = self.node(id).processes.get_mut(&process) else { return };
        if held.end(example) {
            let hands = held.hands;
            let duration_us = self.subject.typical_us;
            self.hear(id, hands, Said::Executed { held: example, duration_us }, acts);
            self.begin_examples(id, process);
        }
    }

    fn begin_examples(&mut self, id: NodeId, process: ProcessId) {
        let begun = self.node(id).processes.get_mut(&process).map(Process::begin).unwrap_or_default();
        for example in begun {
            self.tally.executions += 1;
            if !self.begun.insert(example.index) {
                self.tally.again += 1;
            }
            let typical = self.subject.typical_us;
            let takes_us = self.random.within(typical / 2..typical * 2);
            self.soon(id, takes_us, Event::Executed(process, example));
        }
    }

    /// A message of a peer.
    fn arrive(&mut self, id: NodeId, from: NodeId, line: u64, bytes: &[u8], acts: &mut Vec<Act>) {
        if !self.lines.carries(from, id, line) {
            return;
        }
        match PeerMessage::decode(bytes).expect("a message of a peer") {
            PeerMessage::Order(RunOrder { epoch, what, .. }) => {
                self.ordered(id, Part { owner: from, epoch }, what, acts);
            }
            PeerMessage::Report(RunReport { epoch, what, .. }) => {
                let state = self.nodes[&id].state.clone();
                self.with_owner(id, epoch, acts, |owner, sites, acts| {
                    owner.hear_remote((from, what), &state, sites.now_us, acts)
                });
            }
            PeerMessage::Presence(_) | PeerMessage::Attended { .. } | PeerMessage::RunWorkers { .. } => {}
        }
    }

    fn ordered(&mut self, id: NodeId, part: Part, what: WorkOrder, acts: &mut Vec<Act>) {
        let current = self.nodes[&id].state.run(RUN).map(|run| (run.progress.status, run.progress.epoch));
        if current.is_some_and(|(status, current)| !status.is_under_way() || current > part.epoch) {
            return;
        }
        let mut next_process = self.next_process;
        let hosted = self.node(id).parts.entry(part).or_insert_with(|| Hosted::new(part));
        hosted.order(what, &mut next_process, acts);
        self.next_process = next_process;
    }

    fn tick(&mut self, id: NodeId, acts: &mut Vec<Act>) {
        self.soon(id, TICK_US, Event::Ticks);
        let (epoch, state) = (self.epoch(id), self.nodes[&id].state.clone());
        self.with_owner(id, epoch, acts, |owner, _, acts| owner.tick(&state, acts));
    }

    /// Makes up for what was missed.
    fn look(&mut self, id: NodeId, acts: &mut Vec<Act>) {
        self.soon(id, LOOK_EVERY_US, Event::Looks);
        let pending = self.nodes[&id].state.pending(id);
        self.effects(id, pending, acts);
        let current = self.nodes[&id].state.run(RUN).map(|run| (run.progress.status, run.progress.epoch));
        let is_over = |part: &Part| current.is_some_and(|(status, epoch)| !status.is_under_way() || epoch > part.epoch);
        let over: Vec<Part> = self.nodes[&id].parts.keys().copied().filter(is_over).collect();
        over.into_iter().for_each(|part| self.stop_part(id, part, acts));
    }

    fn stop_part(&mut self, id: NodeId, part: Part, acts: &mut Vec<Act>) {
        if let Some(mut hosted) = self.node(id).parts.remove(&part) {
            hosted.stop(acts);
        }
    }

    fn answered(&mut self, id: NodeId, told: &[(Teller, usize)], status: RunStatus, acts: &mut Vec<Act>) {
        for &(teller, results) in told {
            let recorded = Recorded { results, status };
            match teller {
                Teller::Owner { epoch } => {
                    self.with_owner(id, epoch, acts, |owner, _, _| owner.recorded(recorded));
                }
                Teller::Host(part) => {
                    if let Some(hosted) = self.nodes[&id].parts.get(&part) {
                        hosted.recorded(recorded, acts);
                    }
                }
            }
        }
    }

    /// Does what was decided at a node.
    fn perform(&mut self, id: NodeId, acts: Vec<Act>) {
        for act in acts {
            match act {
                Act::Order { node, epoch, what } => {
                    let order = PeerMessage::Order(RunOrder { run: RUN, epoch, what });
                    if !self.say(id, node, &order) {
                        self.soon(id, 0, Event::Unsaid { epoch, peer: node });
                    }
                }
                Act::Report { part, what } => {
                    let report = PeerMessage::Report(RunReport { run: RUN, epoch: part.epoch, what });
                    self.say(id, part.owner, &report);
                }
                Act::Launch { process, threads, hands } => {
                    self.node(id).processes.insert(process, Process::new(hands, threads));
                    let takes_us = self.random.within(20 * MS..300 * MS);
                    self.soon(id, takes_us, Event::Loaded(process));
                }
                Act::Execute { process, examples } => {
                    if let Some(held) = self.node(id).processes.get_mut(&process) {
                        held.give(examples);
                    }
                    self.begin_examples(id, process);
                }
                Act::Kill { process, says } => self.kill_process(id, process, says),
                Act::Record(recordings) => self.record(id, recordings),
                Act::Spawn { epoch } => self.soon(id, 0, Event::Spawns { epoch }),
            }
        }
    }

    fn kill_process(&mut self, id: NodeId, process: ProcessId, says: bool) {
        if let Some(held) = self.node(id).processes.remove(&process).filter(|_| says) {
            let takes_us = self.random.within(MS..30 * MS);
            self.soon(id, takes_us, Event::Says(held.hands, Said::Ended));
        }
    }

    /// `false`: the sender knows that there is no line.
    fn say(&mut self, from: NodeId, to: NodeId, message: &PeerMessage) -> bool {
        let takes_us = self.random.within(100..5 * MS);
        let Some((at_us, line)) = self.lines.say(from, to, self.now_us, takes_us) else { return false };
        let bytes = message.encode().expect("messages of a run are short");
        let receiver = &self.nodes[&to];
        if receiver.is_up {
            let life = receiver.life;
            self.at(at_us, Some((to, life)), Event::Arrives { from, line, bytes });
        }
        true
    }

    /// What can be on its way at once: a fault at the owner, or of it, is one at all nodes.
    fn flight_max(&self) -> u64 {
        u64::from(self.subject.threads) + (UNRECORDED_MAX * self.nodes.len()) as u64
    }

    /// What the log has taken of a node, and who is to hear of it.
    fn record(&mut self, id: NodeId, recordings: Vec<super::acts::Recording>) {
        let recorder = &mut self.node(id).recorder;
        recorder.gathered.extend(recordings);
        if !std::mem::replace(&mut recorder.is_flushing, true) {
            let in_us = self.random.within(200..15 * MS);
            self.soon(id, in_us, Event::Flushes);
        }
    }

    /// A report that the owner of the run has reason to fear: nobody says anything any more.
    fn node_lost(&mut self, id: NodeId, peer: NodeId, epoch: Option<u64>, acts: &mut Vec<Act>) {
        let epoch = epoch.unwrap_or_else(|| self.epoch(id));
        let state = self.nodes[&id].state.clone();
        let mut lost = 0;
        self.with_owner(id, epoch, acts, |owner, _, acts| {
            lost = owner.node_lost(peer, &state, acts);
            Next::Go
        });
        self.tally.results_lost += lost as u64;
    }

    fn learn(&mut self, id: NodeId, peer: NodeId, line: u64, acts: &mut Vec<Act>) {
        let in_us = self.random.within(100 * MS..800 * MS);
        self.at(self.now_us + in_us, None, Event::Joins(id, peer));
        if !self.lines.learn(id, peer, line) {
            return;
        }
        self.tally.lines_lost += 1;
        self.node_lost(id, peer, None, acts);
        let orphaned: Vec<Part> = self.nodes[&id].parts.keys().copied().filter(|part| part.owner == peer).collect();
        for part in orphaned {
            if let Some(hosted) = self.node(id).parts.get_mut(&part) {
                hosted.orphan(acts);
            }
            self.soon(id, ORPHANED_US, Event::OrphansEnd(part));
        }
    }
}
