//! What sessions have to bear: their homes are killed, stand still and are cut off while code is called in them.

use super::{Scenario, kill_nine, one, partition, pause};
use crate::cluster::Need;
use crate::control::Chance;
use crate::schedule::Fault;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "sessions",
    says: "kills, pauses and partitions, while code is called in sessions and sessions end by their lifetimes",
    needs: &[Need::Networks],
    least: 3,
    calls: true,
    evaluates: false,
    draw,
};

fn draw(chance: &mut Chance, nodes: usize) -> Fault {
    let scenarios = [kill_nine::SCENARIO, pause::SCENARIO, partition::SCENARIO];
    (scenarios[one(chance, scenarios.len())].draw)(chance, nodes)
}
