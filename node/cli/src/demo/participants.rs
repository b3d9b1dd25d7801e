//! Who takes part in a run, as the nodes say it while it executes; and who is to be lost. Decided over plain data.

use std::collections::{BTreeMap, BTreeSet};

use dspex_api::v1::Worker;

/// A worker of a run, and the position of the node that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Of the node.
    pub node: usize,
    /// Its process.
    pub pid: u32,
    /// Examples that it executes now.
    pub in_flight: u32,
    /// Examples that it has executed.
    pub completed: u64,
}

/// The workers of the run among all that a node has.
pub fn of_run(node: usize, workers: &[Worker], run: &str) -> Vec<Seen> {
    let of_run = workers.iter().filter(|worker| worker.run_id == run && worker.pid != 0);
    of_run
        .map(|worker| Seen { node, pid: worker.pid, in_flight: worker.in_flight, completed: worker.completed })
        .collect()
}

/// The workers that have executed something, by the position of their node.
#[derive(Debug, Default)]
pub struct Participants(BTreeMap<usize, BTreeSet<u32>>);

impl Participants {
    /// Adds those who have something to do, or had.
    pub fn note(&mut self, seen: &[Seen]) {
        for worker in seen.iter().filter(|worker| worker.in_flight > 0 || worker.completed > 0) {
            self.0.entry(worker.node).or_default().insert(worker.pid);
        }
    }

    /// How many nodes took part.
    pub fn nodes(&self) -> usize {
        self.0.len()
    }

    /// As a person reads it.
    pub fn text(&self, names: &[&str]) -> String {
        let nodes = self.0.iter().map(|(node, workers)| {
            let name = names.get(*node).copied().unwrap_or("a node");
            format!("{name} with {}", counted(workers.len(), "worker"))
        });
        nodes.collect::<Vec<_>>().join(", ")
    }
}

/// The worker to lose: the busiest that the node at `spared` does not have, because that node is lost as a whole later on.
pub fn busiest_elsewhere(seen: &[Seen], spared: usize) -> Option<&Seen> {
    let busy = seen.iter().filter(|worker| worker.node != spared && worker.in_flight > 0);
    busy.max_by_key(|worker| worker.in_flight)
}

/// Examples that are under way at a node.
pub fn under_way(seen: &[Seen], node: usize) -> u32 {
    seen.iter().filter(|worker| worker.node == node).map(|worker| worker.in_flight).sum()
}

/// `1 worker`, `2 workers`.
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(pid: u32, run: &str, in_flight: u32, completed: u64) -> Worker {
        Worker { pid, run_id: run.to_owned(), in_flight, completed, ..Worker::default() }
    }

    #[test]
    fn only_workers_of_the_run_that_had_something_to_do_took_part() {
        let mut participants = Participants::default();
        participants.note(&of_run(0, &[worker(1, "run", 2, 0), worker(2, "run", 0, 0)], "run"));
        participants.note(&of_run(
            2,
            &[worker(3, "run", 0, 7), worker(4, "other", 1, 1), worker(0, "run", 1, 0)],
            "run",
        ));
        participants.note(&of_run(0, &[worker(1, "run", 0, 5), worker(5, "run", 1, 0)], "run"));
        assert_eq!(participants.nodes(), 2);
        assert_eq!(participants.text(&["node-1", "node-2", "node-3"]), "node-1 with 2 workers, node-3 with 1 worker");
    }

    #[test]
    fn the_busiest_worker_of_another_node_is_lost_and_an_idle_one_never() {
        let seen = |node, pid, in_flight| Seen { node, pid, in_flight, completed: 9 };
        let workers = [seen(0, 1, 8), seen(1, 2, 0), seen(1, 3, 2), seen(2, 4, 1)];
        assert_eq!(busiest_elsewhere(&workers, 0).map(|worker| worker.pid), Some(3));
        assert_eq!(busiest_elsewhere(&workers, 1).map(|worker| worker.pid), Some(1));
        assert_eq!(busiest_elsewhere(&workers[..2], 0), None);
        assert_eq!((under_way(&workers, 1), under_way(&workers, 7)), (2, 0));
    }
}
