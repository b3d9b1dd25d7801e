//! The log of the world: what is proposed, what of it every node applies when, and who owns the run.

use dspex_model::{Command, Effect, NodeId, Outcome, Rejection, RunStatus};

use super::{Event, MS, World};
use crate::evaluation::acts::{Act, Teller};
use crate::evaluation::ledger;
use crate::evaluation::owner::{Next, Owner};
use crate::evaluation::subject::RUN;

/// An owner that the leader has not heard for so long is lost: `actors/src/ownership.rs`.
const LOST_AFTER_US: u64 = 3_000 * MS;
const WATCH_EVERY_US: u64 = 500 * MS;
/// Between attempts to reach the log.
const AGAIN_US: u64 = 60 * MS;
/// Of a thousand proposals so many are in the log without their proposer knowing it, which proposes them again.
const UNANSWERED_PER_MILLE: u64 = 60;

impl World {
    /// Whether a majority agrees on anything now.
    fn is_open(&self) -> bool {
        let reachable = self.voters().filter(|id| self.nodes[id].is_reachable(self.now_us)).count();
        self.now_us >= self.leaderless_until_us && 2 * reachable > self.voters
    }

    pub(super) fn voters(&self) -> impl Iterator<Item = NodeId> + use<> {
        (1..=self.voters as u64).map(NodeId)
    }

    /// The voter that leads: any will do.
    fn leader(&self) -> Option<NodeId> {
        let reachable = |id: &NodeId| self.nodes[id].is_reachable(self.now_us);
        self.is_open().then(|| self.voters().find(reachable)).flatten()
    }

    /// Some voter that can be asked.
    pub(super) fn asked(&mut self) -> Option<NodeId> {
        let open: Vec<NodeId> = self.voters().filter(|id| self.nodes[id].is_reachable(self.now_us)).collect();
        if self.is_open() { self.random.choose(&open).copied() } else { None }
    }

    /// An entry is in the log: every node that runs applies it some time later.
    pub(super) fn commit(&mut self, command: &Command) -> Option<Outcome> {
        match self.ledger.commit(command, self.now_us / MS) {
            Ok(outcome) => {
                let up: Vec<NodeId> = self.nodes.values().filter(|node| node.is_up).map(|node| node.id).collect();
                for id in up {
                    let in_us = self.random.within(200..40 * MS);
                    self.soon(id, in_us, Event::Applies);
                }
                Some(outcome)
            }
            Err(broken) => {
                self.violation = Some(broken);
                None
            }
        }
    }

    pub(super) fn propose(&mut self, id: NodeId, command: Command, told: Vec<(Teller, usize)>) {
        if !self.is_open() || !self.nodes[&id].is_reachable(self.now_us) {
            return self.soon(id, AGAIN_US, Event::Proposed { command, told });
        }
        let Some(outcome) = self.commit(&command) else { return };
        if self.random.per_mille(UNANSWERED_PER_MILLE) {
            let in_us = self.random.within(20 * MS..2_000 * MS);
            return self.soon(id, in_us, Event::Proposed { command, told });
        }
        // As `record` of `actors/src/recorder.rs` reads the outcomes of results; of other commands nobody waits for one.
        let status = match outcome {
            Outcome::ResultsRecorded { status, .. } | Outcome::Rejected(Rejection::RunNotRunning(status)) => status,
            _ => RunStatus::Cancelled,
        };
        let in_us = self.random.within(200..10 * MS);
        self.soon(id, in_us, Event::Answered { told, status });
    }

    /// What has gathered becomes a proposal for each generation.
    pub(super) fn flush(&mut self, id: NodeId) {
        let gathered = std::mem::take(&mut self.node(id).recorder.gathered);
        let mut generations: Vec<u64> = gathered.iter().map(|recording| recording.generation).collect();
        generations.sort_unstable();
        generations.dedup();
        for generation in generations {
            let of = || gathered.iter().filter(|recording| recording.generation == generation);
            let results: Vec<_> = of().map(|recording| recording.result.clone()).collect();
            // The first one's hears of all of them.
            let told = of().next().map(|first| (first.teller, results.len())).into_iter().collect();
            let command = Command::RecordResults { run: RUN, generation, names: Vec::new(), results };
            let in_us = self.random.within(500..30 * MS);
            self.soon(id, in_us, Event::Proposed { command, told });
        }
        self.soon(id, 10 * MS, Event::Flushed);
    }

    pub(super) fn flushed(&mut self, id: NodeId) {
        let recorder = &mut self.node(id).recorder;
        recorder.is_flushing = !recorder.gathered.is_empty();
        if recorder.is_flushing {
            self.soon(id, 0, Event::Flushes);
        }
    }

    /// A node applies the next entry that it has not.
    pub(super) fn apply(&mut self, id: NodeId, acts: &mut Vec<Act>) {
        let isolated_until_us = self.nodes[&id].isolated_until_us;
        if isolated_until_us > self.now_us {
            return self.soon(id, isolated_until_us - self.now_us, Event::Applies);
        }
        let Some(proposal) = self.ledger.entry(self.nodes[&id].applied) else { return };
        let mutant = self.mutant;
        let node = self.node(id);
        node.applied += 1;
        let applied = ledger::apply(&mut node.state, &proposal, mutant);
        self.effects(id, applied.effects, acts);
        if self.nodes[&id].applied < self.ledger.len() {
            let in_us = self.random.within(50..2 * MS);
            self.soon(id, in_us, Event::Applies);
        }
    }

    pub(super) fn effects(&mut self, id: NodeId, effects: Vec<Effect>, acts: &mut Vec<Act>) {
        for effect in effects {
            match effect {
                Effect::OwnRun { owner, epoch, .. } if owner == id => self.own(id, epoch, acts),
                Effect::StopRun { .. } => {
                    if let Some(mut owner) = self.node(id).owner.take() {
                        owner.stop(acts);
                    }
                    let parts: Vec<_> = self.nodes[&id].parts.keys().copied().collect();
                    parts.into_iter().for_each(|part| self.stop_part(id, part, acts));
                }
                Effect::PauseRun { .. } => {
                    let epoch = self.epoch(id);
                    self.with_owner(id, epoch, acts, |owner, _, _| {
                        owner.plan.hold();
                        Next::Go
                    });
                }
                _ => {}
            }
        }
    }

    /// The log says that the node owns the run. Repeated freely.
    fn own(&mut self, id: NodeId, epoch: u64, acts: &mut Vec<Act>) {
        let node = &self.nodes[&id];
        if node.owner.as_ref().is_some_and(|owner| owner.epoch >= epoch) {
            return;
        }
        let Some(run) = node.state.run(RUN) else { return };
        if (run.progress.status, run.progress.epoch) != (RunStatus::Running, epoch) {
            return;
        }
        let first_key = (self.now_us << 16) + node.life;
        let owner = Owner::open(id, run, first_key, self.mutant);
        if let Some(mut former) = self.node(id).owner.replace(owner) {
            former.stop(acts);
        }
        self.with_owner(id, epoch, acts, |owner, sites, acts| {
            owner.start(sites, acts);
            Next::Go
        });
    }

    /// The leader names another owner for a run whose owner it has not heard for a while.
    pub(super) fn watch(&mut self) {
        self.at(self.now_us + WATCH_EVERY_US, None, Event::Watches);
        let Some(leader) = self.leader() else {
            self.absent = None;
            return;
        };
        let Some(run) = self.nodes[&leader].state.run(RUN) else { return };
        let (owner, epoch, status) = (run.progress.owner, run.progress.epoch, run.progress.status);
        if status != RunStatus::Running || owner == leader || self.lines.is_up(leader, owner) {
            self.absent = None;
            return;
        }
        let since_us = match self.absent {
            Some((by, absent, since_us)) if (by, absent) == (leader, owner) => since_us,
            _ => self.now_us,
        };
        self.absent = Some((leader, owner, since_us));
        if self.now_us - since_us >= LOST_AFTER_US {
            let heir = self.voters().find(|id| *id == leader || self.lines.is_up(leader, *id)).unwrap_or(leader);
            let command = Command::AssignRun { run: RUN, owner: heir, expected_epoch: epoch };
            self.soon(leader, 0, Event::Proposed { command, told: Vec::new() });
        }
    }
}
