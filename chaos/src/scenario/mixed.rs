//! Every fault, by chance, at one cluster: what one leaves behind meets the next.

use super::{
    Scenario, clock_jump, failing_disk, flipped_byte, full_disk, kill_nine, one, partition, pause, power_cut, read_only,
};
use crate::cluster::Need;
use crate::control::Chance;
use crate::schedule::Fault;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "mixed",
    says: "all of them, by chance",
    needs: &[Need::Networks, Need::Disks, Need::Clocks],
    least: 5,
    calls: false,
    evaluates: false,
    draw,
};

fn draw(chance: &mut Chance, nodes: usize) -> Fault {
    let scenarios = [
        kill_nine::SCENARIO,
        pause::SCENARIO,
        partition::SCENARIO,
        clock_jump::SCENARIO,
        power_cut::SCENARIO,
        full_disk::SCENARIO,
        read_only::SCENARIO,
        failing_disk::SCENARIO,
        flipped_byte::SCENARIO,
    ];
    (scenarios[one(chance, scenarios.len())].draw)(chance, nodes)
}
