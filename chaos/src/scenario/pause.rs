//! Processes stand still, a leader among them, and go on as if nothing had been.

use super::{Scenario, one_two_or_all};
use crate::control::Chance;
use crate::schedule::Fault;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "pause",
    says: "SIGSTOP of one, two and all nodes: they wake up behind, still holding what they held",
    needs: &[],
    least: 3,
    calls: false,
    evaluates: false,
    draw,
};

fn draw(chance: &mut Chance, nodes: usize) -> Fault {
    Fault::Pause(one_two_or_all(chance, nodes))
}
