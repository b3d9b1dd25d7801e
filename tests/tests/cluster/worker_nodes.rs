//! Nodes without a vote: they come, work, vanish and come back, and nobody has to admit or remove them.

use std::time::Duration;

use dspex_tests::{Cluster, holds_within};
use serde_json::Value;

use super::distribution::{begin, finished, project, undisturbed, wait_for, workers};

const PATIENCE: Duration = Duration::from_secs(60);
/// A node without a vote that is not heard for so long is taken for gone.
const LEASE: Duration = Duration::from_secs(60);
/// The leader looks for what has ended once a second; the rest is for a machine that does something else as well.
const SLACK: Duration = Duration::from_secs(15);

fn members(cluster: &Cluster, asked: usize) -> Vec<Value> {
    let list = cluster.dspex(asked, &["member", "list", "-o", "json"]).run().expect(0).object();
    list["items"].as_array().expect("items").clone()
}

fn listed(cluster: &Cluster, asked: usize, position: usize) -> Option<Value> {
    let name = format!("node-{position}");
    members(cluster, asked).into_iter().find(|member| member["name"] == name)
}

/// Three voters and a node without a vote, which is there.
fn cluster() -> (Cluster, usize) {
    let mut cluster = Cluster::of(3);
    let worker = cluster.add_worker();
    cluster.begin(worker);
    let is_there = || listed(&cluster, 0, worker).is_some_and(|member| member["role"] == "worker");
    assert!(holds_within(PATIENCE, is_there), "{:?}\n{}", members(&cluster, 0), cluster.node(worker).log());
    let lines = || cluster.node(worker).log().matches("a line for orders to a peer").count();
    assert!(holds_within(PATIENCE, || lines() >= 3), "{}", cluster.node(worker).log());
    (cluster, worker)
}

#[test]
fn a_node_without_a_vote_executes_and_leaves_when_it_is_stopped() {
    let project = project();
    let (mut cluster, worker) = cluster();
    let run = begin(&cluster, 0, &project);
    assert!(holds_within(PATIENCE, || workers(&cluster, worker, &run) > 0), "it has no worker of the run");
    let shown = finished(&cluster, 1, &run);
    assert_eq!(shown["digest"], undisturbed(&project)["digest"], "{shown}");
    let voters = members(&cluster, 1).iter().filter(|member| member["role"] == "voter").count();
    assert_eq!(voters, 3);
    cluster.terminate(worker);
    assert!(holds_within(PATIENCE, || listed(&cluster, 0, worker).is_none()), "it is still shown");
}

#[test]
fn a_node_without_a_vote_that_vanishes_costs_a_run_time_and_works_again_when_it_is_back() {
    let project = project();
    let (mut cluster, worker) = cluster();
    let run = begin(&cluster, 0, &project);
    assert!(holds_within(PATIENCE, || workers(&cluster, worker, &run) > 0), "it has no worker of the run");
    wait_for(&cluster, 0, &run, 20);
    cluster.kill(worker);
    let shown = finished(&cluster, 1, &run);
    assert_eq!(shown["digest"], undisturbed(&project)["digest"], "{shown}");
    cluster.begin(worker);
    let lines = || cluster.node(worker).log().matches("a line for orders to a peer").count();
    assert!(holds_within(PATIENCE, || lines() >= 3), "{}", cluster.node(worker).log());
    // So long that the others, which have all they need, are not done before it has.
    project.file("data.jsonl", (0..3000).map(|n| format!("{{\"n\": {n}}}\n")).collect::<String>());
    let again = begin(&cluster, 0, &project);
    assert!(holds_within(PATIENCE, || workers(&cluster, worker, &again) > 0), "it has no worker of the next run");
    cluster.dspex(1, &["run", "cancel", &again]).run().expect(0);
}

#[test]
fn a_node_without_a_vote_that_is_killed_is_shown_as_gone_though_nothing_is_written() {
    let (mut cluster, worker) = cluster();
    let is_reachable = |cluster: &Cluster| listed(cluster, 0, worker).map(|member| member["reachable"] == true);
    assert_eq!(is_reachable(&cluster), Some(true));
    cluster.kill(worker);
    let is_gone = || {
        // Few questions: the cluster is to be idle.
        std::thread::sleep(Duration::from_millis(500));
        is_reachable(&cluster) == Some(false)
    };
    assert!(holds_within(LEASE + SLACK, is_gone), "{:?}", members(&cluster, 0));
    // Time passes in the log for as long as something is to end by it: one that is gone does not keep the leader writing.
    let applied = || cluster.ask(0, async |client| client.state_hash().await).expect("it answers").applied_index;
    let before = applied();
    std::thread::sleep(Duration::from_secs(5));
    assert!(applied() < before + 3, "an election may have written something, ticks would have been five");
}

#[test]
fn a_node_without_a_vote_says_that_it_knows_nothing_and_is_neither_admitted_nor_removed() {
    let (cluster, worker) = cluster();
    let refused = cluster.dspex(worker, &["run", "list"]).run().expect(2);
    assert!(
        refused.stderr.contains("NODE_HAS_NO_VOTE") && refused.stderr.contains("ask one that votes"),
        "{refused:?}"
    );
    cluster.dspex(worker, &["worker", "list"]).run().expect(0);
    let name = format!("node-{worker}");
    for change in [&["member", "promote", &name][..], &["member", "remove", &name, "--yes"]] {
        let refused = cluster.dspex(0, change).run();
        assert!(refused.code != Some(0) && refused.stderr.contains("only works for the cluster"), "{refused:?}");
    }
}
