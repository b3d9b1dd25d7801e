//! Stories of faults, one file each: which faults, and what a cluster needs for them. All are played in the same phases:
//!
//! ```text
//! traffic ---- faults, one after the other, each put back ---- settle ---- final reads ---- promises
//! ```
//! The schedule is data made from a seed; a fault that does not land is told and not counted. `runs` has phases of its own: see `evaluation`.

mod clock_jump;
mod failing_disk;
mod flipped_byte;
mod full_disk;
mod kill_nine;
mod mixed;
mod partition;
mod pause;
mod play;
mod power_cut;
mod read_only;
mod report;
mod runs;
mod sessions;

use std::time::Duration;

pub use play::{Options, play};
pub use report::Report;

use crate::cluster::Need;
use crate::control::Chance;
use crate::schedule::Draw;

/// A story of faults.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// For commands.
    pub name: &'static str,
    /// A line for people.
    pub says: &'static str,
    /// What it takes beyond processes.
    pub needs: &'static [Need],
    /// The fewest faults that tell something.
    pub least: usize,
    /// Its clients also call code in sessions, and let sessions end by their lifetimes.
    pub calls: bool,
    /// A run executes on all nodes meanwhile, and nobody writes sessions: `evaluation` plays it, at clusters that it makes.
    pub evaluates: bool,
    /// Its faults.
    pub draw: Draw,
}

/// All of them.
pub const ALL: &[Scenario] = &[
    kill_nine::SCENARIO,
    pause::SCENARIO,
    partition::SCENARIO,
    clock_jump::SCENARIO,
    power_cut::SCENARIO,
    full_disk::SCENARIO,
    read_only::SCENARIO,
    failing_disk::SCENARIO,
    flipped_byte::SCENARIO,
    mixed::SCENARIO,
    sessions::SCENARIO,
    runs::SCENARIO,
];

/// One of them by its name.
pub fn find(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}

impl Scenario {
    /// Why it cannot be played here.
    pub fn probe(&self) -> Result<(), String> {
        self.needs.iter().try_for_each(|need| need.probe())
    }
}

/// How long a cluster may take after a fault until its nodes agree on a leader, and until all of them take writes.
pub const SETTLE_LIMIT: Duration = Duration::from_secs(30);

/// A node by chance.
fn one(chance: &mut Chance, nodes: usize) -> usize {
    usize::try_from(chance.below(nodes as u64)).unwrap_or(0)
}

/// So many different nodes by chance, in order.
fn some(chance: &mut Chance, nodes: usize, count: usize) -> Vec<usize> {
    let mut left: Vec<usize> = (0..nodes).collect();
    while left.len() > count {
        let away = one(chance, left.len());
        left.remove(away);
    }
    left
}

/// One, two or all of them.
fn one_two_or_all(chance: &mut Chance, nodes: usize) -> Vec<usize> {
    let count = match chance.below(3) {
        0 => 1,
        1 => 2.min(nodes),
        _ => nodes,
    };
    some(chance, nodes, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_have_names_of_their_own_and_draw_nodes_that_are_there() {
        let mut names: Vec<&str> = ALL.iter().map(|scenario| scenario.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        let mut chance = Chance::new(3);
        for scenario in ALL {
            for nodes in [3, 5] {
                for _ in 0..200 {
                    let fault = (scenario.draw)(&mut chance, nodes);
                    let known = fault.nodes().unwrap_or_default();
                    assert!(known.iter().all(|node| *node < nodes), "{}: {fault}", scenario.name);
                }
            }
        }
    }

    #[test]
    fn nodes_are_drawn_once_and_all_of_them_sometimes() {
        let mut chance = Chance::new(5);
        let drawn: Vec<Vec<usize>> = (0..100).map(|_| one_two_or_all(&mut chance, 5)).collect();
        for count in [1, 2, 5] {
            assert!(drawn.iter().any(|nodes| nodes.len() == count));
        }
        assert!(drawn.iter().all(|nodes| nodes.windows(2).all(|pair| pair[0] < pair[1])));
    }
}
