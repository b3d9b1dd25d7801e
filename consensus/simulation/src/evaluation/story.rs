//! What goes wrong when, and what a user wants meanwhile: drawn from the seed before anything runs.

use std::fmt;

use dspex_model::NodeId;
use tokio::Random;

/// Nothing happens after it.
const LAST_MS: u64 = 9_000;
/// Longer than a silence after which a node is given up.
const LONGEST_MS: u64 = 6_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) at_ms: u64,
    pub(super) what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// kill -9, and a start later.
    Kill { node: NodeId, down_ms: u64 },
    /// One of its workers dies.
    KillWorker { node: NodeId },
    /// It stands still, its workers do not.
    Pause { node: NodeId, long_ms: u64 },
    /// Two nodes do not reach each other.
    Cut { one: NodeId, other: NodeId, long_ms: u64 },
    /// A node reaches nobody, and not the log.
    Isolate { node: NodeId, long_ms: u64 },
    /// The log takes nothing.
    LoseLeader { long_ms: u64 },
    /// The user stops the run; somebody goes on with it later.
    Cancel,
    /// The user lets it rest.
    Rest,
    /// The user lets it rest, and has what has failed executed again at once.
    RestAndRetry,
}

/// All of it, in its order.
#[derive(Debug, Clone)]
pub(super) struct Story {
    pub(super) events: Vec<Event>,
}

impl Story {
    pub(super) fn draw(seed: u64, nodes: u64) -> Self {
        let mut random = Random::stream(seed, &format!("story of {nodes}"));
        let count = random.within(2..9);
        // Most of it while the run has most to do.
        let last_ms = [400, 1_500, LAST_MS][random.below(3) as usize];
        let mut events: Vec<Event> =
            (0..count).map(|_| Event { at_ms: random.within(20..last_ms), what: draw(&mut random, nodes) }).collect();
        events.sort_by_key(|event| event.at_ms);
        Self { events }
    }
}

fn draw(random: &mut Random, nodes: u64) -> What {
    let node = NodeId(random.within(1..nodes + 1));
    let other = NodeId(random.within(1..nodes + 1));
    // Short ones come and go before anybody has noticed.
    let long_ms = if random.per_mille(500) { random.within(50..900) } else { random.within(900..LONGEST_MS) };
    match random.below(12) {
        0..=2 => What::Kill { node, down_ms: long_ms },
        3 | 4 => What::KillWorker { node },
        5 => What::Pause { node, long_ms },
        6 if other != node => What::Cut { one: node, other, long_ms },
        6 | 7 => What::Isolate { node, long_ms },
        8 => What::LoseLeader { long_ms: long_ms / 3 },
        9 => What::Cancel,
        10 => What::Rest,
        _ => What::RestAndRetry,
    }
}

impl What {
    /// Whether a user does it, and nothing breaks.
    pub(super) fn is_wish(&self) -> bool {
        matches!(self, Self::Cancel | Self::Rest | Self::RestAndRetry)
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.events.iter().try_for_each(|event| writeln!(f, "  at {:>5} ms  {:?}", event.at_ms, event.what))
    }
}
