//! The power fails under nodes and their disks.

use super::{Scenario, one_two_or_all};
use crate::cluster::Need;
use crate::control::Chance;
use crate::schedule::Fault;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "power-cut",
    says: "what was not synced is gone, on one, two and all nodes at once",
    needs: &[Need::Disks],
    least: 3,
    calls: false,
    evaluates: false,
    draw,
};

fn draw(chance: &mut Chance, nodes: usize) -> Fault {
    Fault::CutPower(one_two_or_all(chance, nodes))
}
