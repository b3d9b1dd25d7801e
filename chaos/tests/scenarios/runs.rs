//! Runs under faults: on clusters of several sizes a run comes to what it comes to alone on one node.

use std::collections::BTreeSet;
use std::time::Duration;

use dspex_chaos::cluster::Need;
use dspex_chaos::control::{Chance, Miscount};
use dspex_chaos::evaluation::{Options, Played, play};
use dspex_chaos::promise::of_account;
use dspex_chaos::scenario::{self, Scenario};
use dspex_chaos::schedule::Fault;

use crate::places::{program, seed};
use crate::skip::is_available;

/// Each round makes its fewest faults, however long they take.
const LENGTH: Duration = Duration::from_secs(5);

/// What is left of the scenario where nodes can have no hosts of their own.
const WITHOUT_PARTITIONS: Scenario = Scenario {
    name: "runs-on-loopback",
    says: "kills of nodes and workers and pauses, while a run executes on all nodes",
    needs: &[],
    least: 3,
    calls: false,
    evaluates: true,
    draw: |chance, nodes| match chance.below(4) {
        0 => Fault::KillWorkers(usize::try_from(chance.below(nodes as u64)).unwrap_or(0)),
        1 => Fault::Kill(vec![0]),
        2 => (scenario::find("kill-nine").expect("known").draw)(chance, nodes),
        _ => (scenario::find("pause").expect("known").draw)(chance, nodes),
    },
};

fn played(seed: u64, nodes: usize) -> Played {
    let with_partitions = is_available("partitions for runs", Need::Networks.probe());
    let scenario = if with_partitions { scenario::find("runs").expect("known") } else { &WITHOUT_PARTITIONS };
    played_as(scenario, Options { seed, length: LENGTH, nodes: Some(nodes) })
}

fn played_as(scenario: &Scenario, options: Options) -> Played {
    let seed = options.seed;
    let played = play(scenario, &program(), &options).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    eprintln!("{:?}: {}", played.shape, played.report);
    if !played.report.is_green() {
        panic!("{}what it left is kept in {:?}", played.report, played.kept);
    }
    played
}

/// A fault or two: eight nodes on two CPUs take their time to start.
const SHORT: Duration = Duration::from_secs(4);

/// Quick ones, among them the loss of the owner: a pause or a cut may last so long that everybody waits for it.
const AMONG_EIGHT: Scenario = Scenario {
    name: "runs-on-eight",
    says: "kills of nodes, among them the owner, while a run executes on eight nodes",
    needs: &[],
    least: 1,
    calls: false,
    evaluates: true,
    draw: |chance, nodes| match chance.below(2) {
        0 => Fault::Kill(vec![0]),
        _ => Fault::Kill(vec![usize::try_from(chance.below(nodes as u64)).unwrap_or(0)]),
    },
};

/// Three or five of them vote, the others only work.
#[test]
fn a_run_on_eight_nodes_one_of_which_dies_has_the_result_of_one() {
    let seed = seed().wrapping_add(2);
    let Played { report, account, shape, .. } =
        played_as(&AMONG_EIGHT, Options { seed, length: SHORT, nodes: Some(8) });
    assert_eq!((shape.nodes(), shape.workers > 0), (8, true));
    let processes: BTreeSet<u32> = account.executions.iter().map(|execution| execution.process).collect();
    eprintln!("{} processes executed, faults: {}", processes.len(), report.landed);
    assert!(processes.len() > 1, "one process executed all of it");
}

/// On three nodes that vote, among them the owner; and the promises can be broken.
#[test]
fn a_run_on_three_nodes_that_die_stand_still_and_are_cut_off_has_the_result_of_one() {
    let account = played(seed(), 3).account;
    let mut chance = Chance::new(seed());
    let mut planted = 0;
    for miscount in Miscount::ALL {
        let Some(wrong) = miscount.plant(&account, &mut chance) else { continue };
        planted += 1;
        let found = of_account(&wrong).iter().any(|finding| finding.promise == miscount.breaks() && !finding.is_kept());
        assert!(found, "{miscount:?} was not found");
    }
    eprintln!("{planted} planted faults found");
    assert!(planted >= 4, "only {planted} faults found a place");
}

/// With one voter and a node that only works: a loss of the first stops everything, and the run goes on all the same.
#[test]
fn a_run_whose_only_voter_is_lost_goes_on_when_it_is_back() {
    played(seed().wrapping_add(1), 2);
}
