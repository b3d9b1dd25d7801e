//! A disk gives back another byte than was written.

use super::{Scenario, one};
use crate::control::Chance;
use crate::schedule::Fault;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "flipped-byte",
    says: "a byte of a stored value is flipped: the node refuses to start and says why, the others go on",
    needs: &[],
    least: 1,
    calls: false,
    evaluates: false,
    draw,
};

fn draw(chance: &mut Chance, nodes: usize) -> Fault {
    Fault::FlipByte(one(chance, nodes))
}
