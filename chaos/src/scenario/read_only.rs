//! The kernel lets nobody write to the disk of a node any more.

use super::{Scenario, one};
use crate::cluster::Need;
use crate::control::Chance;
use crate::schedule::Fault;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "read-only",
    says: "EROFS at one node: it ends, says why, and the others go on",
    needs: &[Need::Disks],
    least: 1,
    calls: false,
    evaluates: false,
    draw,
};

fn draw(chance: &mut Chance, nodes: usize) -> Fault {
    Fault::ForbidWrites(one(chance, nodes))
}
