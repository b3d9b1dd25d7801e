//! The wall clock of single nodes is set, forward and back; the monotonic clock goes on.

use super::{Scenario, one};
use crate::cluster::Need;
use crate::control::Chance;
use crate::schedule::Fault;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "clock-jump",
    says: "the wall clock of a node leaps forward or back, by seconds to an hour",
    needs: &[Need::Clocks],
    least: 3,
    calls: false,
    evaluates: false,
    draw,
};

fn draw(chance: &mut Chance, nodes: usize) -> Fault {
    // Five seconds is what a node still follows, 15 minutes the age of a request.
    let seconds = [3, 20, 300, 3600][one(chance, 4)];
    let node = one(chance, nodes);
    Fault::JumpClock(node, if chance.percent(50) { seconds } else { -seconds })
}
