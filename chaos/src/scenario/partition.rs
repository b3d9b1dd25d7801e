//! Packets are lost between nodes. Clients reach all but an isolated leader, so a minority can be asked, too.

use super::{Scenario, one, some};
use crate::cluster::Need;
use crate::control::Chance;
use crate::schedule::Fault;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "partition",
    says: "halves that do not reach each other, ways that are open in one direction, a leader that is cut off",
    needs: &[Need::Networks],
    least: 4,
    calls: false,
    evaluates: false,
    draw,
};

fn draw(chance: &mut Chance, nodes: usize) -> Fault {
    match chance.below(3) {
        0 => {
            let half = nodes / 2;
            let minority = some(chance, nodes, half);
            let majority = (0..nodes).filter(|node| !minority.contains(node)).collect();
            Fault::Partition(vec![minority, majority])
        }
        1 => {
            let from = one(chance, nodes);
            Fault::OneWay(from, (0..nodes).filter(|node| *node != from).collect())
        }
        _ => Fault::IsolateLeader,
    }
}
