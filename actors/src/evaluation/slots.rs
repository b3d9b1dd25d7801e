//! The threads of a run over its workers while it goes on: stand-ins for workers that are missing, second executions of
//! stragglers, and workers that move to a node with less to do.

use std::collections::BTreeSet;
use std::time::Duration;

use dspex_model::{BoardEvent, WorkOrder};

use super::placement;
use super::plan::hedging::{self, Hedge};
use super::work::Work;
use crate::metering;
use crate::worker::WorkerMessage;

/// A worker moves when the run goes on for at least so long: it loads the program again.
const MOVE_WORTH_US: u64 = 10_000_000;
/// Between two moves.
const MOVE_PAUSE: Duration = Duration::from_secs(5);

impl Work {
    /// Tells the nodes that have workers of the run how much it is to have of them, where that has changed.
    pub(super) fn weigh(&mut self) {
        let run = self.arguments.run;
        let parts = &self.arguments.context.parts;
        let weight = parts.consensus.read_stale(|state| state.run(run).map_or(1, |held| held.weight));
        if weight == self.weight {
            return;
        }
        self.weight = weight;
        self.arguments.context.capacity.weigh(run, weight);
        let own = parts.node;
        let nodes: BTreeSet<_> = self.members.values().map(|member| member.site(own)).collect();
        for node in nodes.into_iter().filter(|node| *node != own) {
            self.order(node, WorkOrder::Weigh { weight });
        }
    }

    /// Tells workers how many examples they execute at once now, where that has changed.
    pub(super) fn share_out(&mut self) {
        let places = (self.spec.workers as usize).saturating_sub(self.drained);
        for (key, threads) in self.plan.share_out(places) {
            self.tell(key, WorkerMessage::Threads(u32::try_from(threads).unwrap_or(u32::MAX)));
        }
    }

    /// Has stragglers executed a second time.
    pub(super) fn hedge_stragglers(&mut self) {
        let hedges = self.plan.hedge(self.now_us());
        for hedge in &hedges {
            self.tell_of_hedge(hedge);
        }
        for (key, assignments) in hedging::orders(&hedges) {
            // The span is that of the first execution.
            self.give(key, assignments.into_iter().map(|one| (one, None)));
        }
    }

    fn tell_of_hedge(&self, hedge: &Hedge) {
        metering::hedged();
        let own = self.arguments.context.parts.node;
        let node = self.members.get(&hedge.worker).map_or(own, |member| member.site(own));
        let (index, seconds) = (hedge.assignment.index, hedge.for_us / 1_000_000);
        let text = format!(
            "example {index} has been running for {seconds} s, far longer than the others: node {node} executes it, too, and \
             the first result counts"
        );
        self.arguments.board.publish(BoardEvent::Warning(text));
    }

    /// A node that came back, or came late, gets a worker of one that has more than its part.
    pub(super) fn move_a_worker(&mut self) {
        let is_changing = self.members.values().any(|member| !member.ready || member.leaving.is_some());
        let is_late = self.last_move.is_some_and(|last| last.elapsed() < MOVE_PAUSE);
        if is_changing || is_late || self.plan.remaining_us().is_none_or(|remaining| remaining < MOVE_WORTH_US) {
            return;
        }
        let Some((from, _)) = placement::better(&self.sites()) else { return };
        let own = self.arguments.context.parts.node;
        let found = self.members.iter().rev().find(|(_, member)| member.site(own) == from).map(|(&key, _)| key);
        if let Some(key) = found {
            self.last_move = Some(std::time::Instant::now());
            self.leaving(key, true);
        }
    }
}
