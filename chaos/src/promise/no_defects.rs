//! No answer tells of a defect of the program, and no node panics, whatever breaks around it.

use dspex_api::reason;

use crate::cluster::Cluster;
use crate::finding::Finding;
use crate::{History, Outcome};

/// What a panic writes.
const PANIC: &str = "panicked at";

/// Looks through answers and, at a cluster of our own, through the logs.
pub fn check(history: &History, cluster: Option<&Cluster>) -> Finding {
    let operations = history.operations();
    let mut broken: Vec<String> = operations
        .iter()
        .filter(|operation| told(&operation.outcome).is_some_and(|told| told == reason::INTERNAL))
        .map(|operation| format!("{} {} was answered with {}", operation.action, operation.key, operation.outcome))
        .collect();
    let nodes = cluster.map_or(&[][..], Cluster::nodes);
    for node in nodes {
        let log = node.log();
        let panics = log.lines().filter(|line| line.contains(PANIC));
        broken.extend(panics.map(|line| format!("{}: {line}", node.name)));
    }
    broken.truncate(20);
    Finding::new("no defects", format!("{} answers, {} logs", operations.len(), nodes.len()), broken)
}

fn told(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Refused { reason } | Outcome::Unknown { reason } => Some(reason),
        _ => None,
    }
}
