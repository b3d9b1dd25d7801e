//! A new cluster goes on with the state of another one. What was under way there is not under way here, and what its workers
//! still do must not count here: the generation fences it off.

use crate::record::{Key, Record};
use crate::state::Decision;
use crate::{ClusterInfo, Outcome, RunStatus, State};

const REASON: &str = "the cluster was restored from a snapshot";

pub(crate) fn restore(state: &State, cluster: &str) -> Decision {
    let now_ms = state.log_time_ms();
    let info = ClusterInfo { id: cluster.to_owned(), formed_ms: now_ms };
    let mut decision = Decision::new(Outcome::Done).write(Record::Cluster(info));
    let nodes = state.nodes().map(|(node, _)| Key::Node(node));
    let leases = state.leases().map(|(node, _)| Key::NodeLease(node));
    let draining = state.draining().map(|(node, _)| Key::Draining(node));
    decision.removed = nodes
        .chain(leases)
        .chain(draining)
        .chain(state.housed_sessions().map(|id| Key::SessionHome(id.clone())))
        .collect();
    for (id, run) in state.runs() {
        let mut progress = match run.progress.status {
            RunStatus::Running => super::ended_at(now_ms, run, RunStatus::Interrupted, REASON),
            status if status.is_resumable() => run.progress.clone(),
            _ => continue,
        };
        progress.generation += 1;
        decision = decision.write(Record::RunProgress(id, Box::new(progress)));
    }
    decision
}
