//! What a run over all nodes has to bear: its owner, the leader, nodes with workers and workers themselves are lost, stand still and are cut
//! off while examples are under way on all of them.

use super::{Scenario, kill_nine, one, partition, pause};
use crate::cluster::Need;
use crate::control::Chance;
use crate::schedule::Fault;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "runs",
    says: "kills of nodes and workers, pauses and partitions, while a run executes on all of 1, 2, 3 or 8 nodes",
    needs: &[Need::Networks],
    least: 3,
    calls: false,
    evaluates: true,
    draw,
};

fn draw(chance: &mut Chance, nodes: usize) -> Fault {
    match chance.below(6) {
        0 => Fault::KillWorkers(one(chance, nodes)),
        // The run is submitted at the first node, which owns it then.
        1 => Fault::Kill(vec![0]),
        2 => (kill_nine::SCENARIO.draw)(chance, nodes),
        3 => Fault::Pause(vec![one(chance, nodes)]),
        4 => (pause::SCENARIO.draw)(chance, nodes),
        // One node alone has nobody to be cut off from.
        _ if nodes == 1 => Fault::Kill(vec![0]),
        _ => (partition::SCENARIO.draw)(chance, nodes),
    }
}
