//! With whom the nodes of a cluster are connected, as the kernel has it. Where they listen: `hostile/listeners.rs`.

use std::collections::BTreeSet;
use std::time::Duration;

use dspex_tests::{Cluster, Home, Project, holds_within, sockets};

use super::distribution::{begin, finished, project, show, workers};

const PATIENCE: Duration = Duration::from_secs(120);

/// So many voters and two nodes without a vote, all of which have their lines to voters.
fn with_two_workers(voters: usize) -> (Cluster, [usize; 2]) {
    let mut cluster = Cluster::of(voters);
    let without_vote = [cluster.add_worker(), cluster.add_worker()];
    for position in without_vote {
        cluster.begin(position);
        let lines = || cluster.node(position).log().matches("a line for orders to a peer").count();
        assert!(holds_within(PATIENCE, || lines() >= voters), "{}", cluster.node(position).log());
    }
    (cluster, without_vote)
}

/// How many sockets one of two nodes has by which it reaches the other, or tries to.
fn between(cluster: &Cluster, one: usize, other: usize) -> usize {
    let (one, other) = (cluster.node(one).pid(), cluster.node(other).pid());
    sockets::leading_to(one, other).len() + sockets::leading_to(other, one).len()
}

/// Looked at again and again while a run has them unpack a project, execute, and store what comes of it.
#[track_caller]
fn expect_apart_during_a_run(voters: usize) {
    let project = project();
    let (cluster, [one, other]) = with_two_workers(voters);
    let run = begin(&cluster, 0, &project);
    for position in [one, other] {
        let is_at_work = || {
            assert_eq!(between(&cluster, one, other), 0, "two nodes without a vote are connected");
            workers(&cluster, position, &run) > 0
        };
        assert!(holds_within(PATIENCE, is_at_work), "node {position} has no worker of the run");
    }
    // The control: the same look sees the connections that there are.
    for position in [one, other] {
        for voter in 0..voters {
            assert!(between(&cluster, position, voter) > 0, "node {position} is not connected with voter {voter}");
        }
    }
    let has_ended = || {
        assert_eq!(between(&cluster, one, other), 0, "two nodes without a vote are connected");
        show(&cluster, 0, &run)["status"] != "running"
    };
    assert!(holds_within(PATIENCE, has_ended), "{}", show(&cluster, 0, &run));
    finished(&cluster, 0, &run);
}

#[test]
fn nodes_without_a_vote_are_connected_with_the_only_voter_and_not_with_each_other() {
    expect_apart_during_a_run(1);
}

#[test]
fn nodes_without_a_vote_are_connected_with_three_voters_and_not_with_each_other() {
    expect_apart_during_a_run(3);
}

/// It is asked on its Unix socket, and has no peers.
#[test]
fn the_embedded_node_listens_at_no_address_and_is_connected_with_nobody() {
    let (home, project) = (Home::new(), Project::new(EMBEDDED));
    project.numbers(4);
    let score = home.eval(&project).result()["score"].clone();
    assert_eq!(score, 100.0);
    assert_eq!(sockets::of(home.node()), BTreeSet::new());
}

const EMBEDDED: &str = r"
class Program(dspy.Module):
    def forward(self, n):
        return dspy.Prediction(double=2 * int(n))

program = Program()

def metric(example, prediction):
    return prediction.double == 2 * int(example.n)
";
