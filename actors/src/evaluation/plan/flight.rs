//! How much may be on its way, node by node: examples in flight, and results that the log does not have yet. One node whose disk is
//! slow does not take the room of the others, and a crash of one repeats no more than what it had.

use std::collections::BTreeMap;

use dspex_model::NodeId;

use super::Plan;

/// Results on their way to the log, by the node that has them.
#[derive(Clone, Debug, Default)]
pub(super) struct OnTheirWay(BTreeMap<NodeId, usize>);

impl OnTheirWay {
    pub(super) fn begin(&mut self, at: NodeId, results: usize) {
        *self.0.entry(at).or_default() += results;
    }

    /// They have arrived, or are lost.
    pub(super) fn end(&mut self, at: NodeId, results: usize) {
        if let Some(held) = self.0.get_mut(&at) {
            *held = held.saturating_sub(results);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.values().all(|&results| results == 0)
    }

    fn at(&self, node: NodeId) -> usize {
        self.0.get(&node).copied().unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Flight {
    held: usize,
    max: usize,
}

/// What the nodes with workers have, and may have.
#[derive(Debug)]
pub(super) struct Flights(BTreeMap<NodeId, Flight>);

impl Flights {
    pub(super) fn of(plan: &Plan) -> Self {
        let mut flights: BTreeMap<NodeId, Flight> = BTreeMap::new();
        for worker in plan.workers.values() {
            let flight = flights
                .entry(worker.site)
                .or_insert_with(|| Flight { held: plan.unrecorded.at(worker.site), max: plan.rules.unrecorded_max });
            flight.max += worker.threads;
            flight.held += plan.awaited_of(worker);
        }
        Self(flights)
    }

    pub(super) fn has_room(&self, node: NodeId) -> bool {
        self.0.get(&node).is_some_and(|flight| flight.held < flight.max)
    }

    /// One more.
    pub(super) fn add(&mut self, node: NodeId) {
        self.0.entry(node).or_default().held += 1;
    }
}
