//! Every call on the disk of a node fails.

use super::{Scenario, one};
use crate::cluster::Need;
use crate::control::Chance;
use crate::schedule::Fault;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "failing-disk",
    says: "EIO at one node: it ends, says why, and the others go on",
    needs: &[Need::Disks],
    least: 1,
    calls: false,
    evaluates: false,
    draw,
};

fn draw(chance: &mut Chance, nodes: usize) -> Fault {
    Fault::FailDisk(one(chance, nodes))
}
