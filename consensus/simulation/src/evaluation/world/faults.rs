//! What goes wrong in the world, and what its user wants.

use dspex_model::{Command, NodeId};

use super::{Event, MS, World};
use crate::evaluation::acts::ProcessId;
use crate::evaluation::story::What;
use crate::evaluation::subject::RUN;

/// A silence that is the end of a line.
const SILENCE_US: u64 = 3_000 * MS;
/// A process that is gone is missed at once: its connections say so.
const END_US: u64 = 60 * MS;
const GOES_ON_EVERY_US: u64 = 700 * MS;

impl What {
    /// How long it lasts.
    pub(super) fn lasts_ms(&self) -> u64 {
        match self {
            Self::Kill { down_ms: long_ms, .. }
            | Self::Pause { long_ms, .. }
            | Self::Cut { long_ms, .. }
            | Self::Isolate { long_ms, .. }
            | Self::LoseLeader { long_ms } => *long_ms,
            Self::KillWorker { .. } | Self::Cancel | Self::Rest | Self::RestAndRetry => 0,
        }
    }
}

impl World {
    /// What concerns no node in one of its lives.
    pub(super) fn happen(&mut self, event: &Event) {
        match *event {
            Event::Happens(what) => {
                // A run that is over bears nothing.
                if self.ledger.progress().status.is_under_way() {
                    self.tally.again_max += self.flight_max();
                    self.tally.wishes += u64::from(what.is_wish());
                    self.begin_fault(what);
                }
            }
            Event::Starts(node) => self.start(node),
            Event::Watches => self.watch(),
            Event::GoesOn => self.go_on(),
            Event::Retries => self.retry(),
            Event::Joins(one, other) => self.join(one, other),
            _ => unreachable!("this is said to a node"),
        }
    }

    fn begin_fault(&mut self, what: What) {
        match what {
            What::Kill { node, down_ms } => self.kill(node, down_ms * MS),
            What::KillWorker { node } => {
                let processes: Vec<ProcessId> = self.nodes[&node].processes.keys().copied().collect();
                if let Some(&process) = self.random.choose(&processes) {
                    self.tally.workers_killed += 1;
                    self.kill_process(node, process, true);
                }
            }
            What::Pause { node, long_ms } => {
                let wakes_us = self.now_us + long_ms * MS;
                self.node(node).asleep_until_us = wakes_us;
                if long_ms * MS > SILENCE_US {
                    // The peers learn of it by the silence, the node when it wakes up.
                    self.lose_lines_of(node, 0);
                }
            }
            What::Cut { one, other, long_ms } => self.lose_line(one, other, self.now_us + long_ms * MS, SILENCE_US),
            What::Isolate { node, long_ms } => {
                let until_us = self.now_us + long_ms * MS;
                self.node(node).isolated_until_us = until_us;
                self.lose_lines_of(node, until_us);
            }
            What::LoseLeader { long_ms } => self.leaderless_until_us = self.now_us + long_ms * MS,
            What::Cancel => self.wish(Command::CancelRun { run: RUN, reason: "enough".to_owned() }),
            What::Rest => self.wish(Command::PauseRun { run: RUN }),
            What::RestAndRetry => {
                self.wish(Command::PauseRun { run: RUN });
                self.at(self.now_us + 50 * MS, None, Event::Retries);
            }
        }
    }

    /// Through any node that can be asked; without one nobody hears of it.
    fn wish(&mut self, command: Command) {
        if let Some(asked) = self.asked() {
            self.soon(asked, 0, Event::Proposed { command, told: Vec::new() });
        }
    }

    /// Somebody goes on with a run that rests, sooner or later, on any voter.
    fn go_on(&mut self) {
        self.at(self.now_us + GOES_ON_EVERY_US, None, Event::GoesOn);
        if self.ledger.progress().status.is_resumable()
            && self.random.per_mille(600)
            && let Some(owner) = self.asked()
        {
            self.wish(Command::ResumeRun { run: RUN, owner, detached: true });
        }
    }

    fn retry(&mut self) {
        if self.ledger.failed() > 0
            && let Some(owner) = self.asked()
        {
            self.wish(Command::RetryRun { run: RUN, owner, detached: true });
        }
    }

    fn kill(&mut self, id: NodeId, down_us: u64) {
        if !self.nodes[&id].is_up {
            return;
        }
        self.tally.kills += 1;
        self.node(id).die();
        let peers: Vec<NodeId> = self.nodes.keys().copied().filter(|peer| *peer != id).collect();
        for peer in peers {
            self.lose_line(id, peer, 0, END_US);
            self.lines.forget(id, peer);
        }
        self.at(self.now_us + down_us, None, Event::Starts(id));
    }

    fn start(&mut self, id: NodeId) {
        self.node(id).is_up = true;
        self.regularly(id);
        self.soon(id, 0, Event::Applies);
        // Its own runs go on by themselves, as soon as it has an environment for them.
        let in_us = self.random.within(MS..2_000 * MS);
        self.soon(id, in_us, Event::Looks);
        let peers: Vec<NodeId> = self.nodes.keys().copied().filter(|peer| *peer != id).collect();
        for peer in peers {
            let in_us = self.random.within(50 * MS..600 * MS);
            self.at(self.now_us + in_us, None, Event::Joins(id, peer));
        }
    }

    fn lose_lines_of(&mut self, id: NodeId, cut_until_us: u64) {
        let peers: Vec<NodeId> = self.nodes.keys().copied().filter(|peer| *peer != id).collect();
        peers.into_iter().for_each(|peer| self.lose_line(id, peer, cut_until_us, SILENCE_US));
    }

    /// What is on the line is lost at once, and what is put on it until its ends learn of that.
    fn lose_line(&mut self, one: NodeId, other: NodeId, cut_until_us: u64, learn_within_us: u64) {
        let Some(line) = self.lines.lose(one, other, cut_until_us) else { return };
        for (id, peer) in [(one, other), (other, one)] {
            if self.nodes[&id].is_up {
                let in_us = self.random.within(MS..learn_within_us);
                self.soon(id, in_us, Event::Learns { peer, line });
            }
        }
    }

    fn join(&mut self, one: NodeId, other: NodeId) {
        let reachable = |id: NodeId| self.nodes[&id].is_reachable(self.now_us);
        if reachable(one) && reachable(other) {
            self.lines.join(one, other, self.now_us);
        }
        if !self.lines.is_up(one, other) {
            let in_us = self.random.within(200 * MS..500 * MS);
            self.at(self.now_us + in_us, None, Event::Joins(one, other));
        }
    }
}
