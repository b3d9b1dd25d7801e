//! Processes are gone without a chance to write anything; the page cache survives.

use super::{Scenario, one_two_or_all};
use crate::control::Chance;
use crate::schedule::Fault;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "kill-nine",
    says: "kill -9 of one, two and all nodes",
    needs: &[],
    least: 3,
    calls: false,
    evaluates: false,
    draw,
};

fn draw(chance: &mut Chance, nodes: usize) -> Fault {
    Fault::Kill(one_two_or_all(chance, nodes))
}
