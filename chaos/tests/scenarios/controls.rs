//! Sabotage that must be found: else a green scenario says nothing.

use std::time::Duration;

use dspex_chaos::cluster::{Cluster, Layout, Need};
use dspex_chaos::control::{Chance, Mutant};
use dspex_chaos::scenario::{self, Options, Scenario, play};
use dspex_chaos::schedule::Fault;
use dspex_chaos::stage::OwnCluster;
use dspex_chaos::traffic::Traffic;
use dspex_chaos::{History, invariant, linearizability};

use crate::places::{program, seed};
use crate::skip::is_available;

const LENGTH: Duration = Duration::from_secs(1);

/// One cut of everything.
const ALL_LOSE_POWER: Scenario = Scenario {
    name: "all-lose-power",
    says: "the power of all nodes fails at once",
    needs: &[Need::Disks],
    least: 1,
    draw: |_, nodes| Fault::CutPower((0..nodes).collect()),
};

#[test]
fn nodes_whose_syncs_do_nothing_lose_acknowledged_writes_in_a_power_cut() {
    if !is_available("power cut without syncs", Need::Disks.probe()) {
        return;
    }
    let layout = Layout { syncs: false, ..Layout::plain(program(), 3).with(&[Need::Disks]) };
    let mut cluster = Cluster::start(layout).expect("a cluster");
    // What came before is on the disks: the cluster comes back, without its newest writes.
    for node in cluster.nodes() {
        node.write_back().expect("written");
    }
    let report = play(&ALL_LOSE_POWER, &mut OwnCluster::new(&mut cluster), &Options::new(seed(), LENGTH));
    eprintln!("{report}");
    assert_eq!(report.landed.total(), 1);
    let lost = report.findings.iter().find(|finding| finding.promise == "acknowledged writes survive");
    let lost = lost.expect("it is checked").broken.iter().filter(|broken| broken.contains("key \"chaos-")).count();
    assert!(lost > 0, "a disk that lies lost nothing: the power cut is none\n{report}\n{}", cluster.last_words());
}

#[test]
fn stale_reads_and_faults_planted_in_a_recorded_history_are_found() {
    let cuts = is_available("partition for stale reads", Need::Networks.probe());
    let scenario = scenario::find(if cuts { "partition" } else { "kill-nine" }).expect("known");
    let layout = Layout::plain(program(), 3).with(scenario.needs);
    let mut cluster = Cluster::start(layout).expect("a cluster");

    let right = play(scenario, &mut OwnCluster::new(&mut cluster), &Options::new(seed(), LENGTH));
    assert!(right.is_green(), "{right}");
    every_mutant_is_found(&right.recording.history, right.recording.healed_ns);

    let traffic = Traffic { linearizable: false, ..Traffic::new(seed()) };
    let options = Options { traffic, ..Options::new(seed(), LENGTH) };
    let stale = play(scenario, &mut OwnCluster::new(&mut cluster), &options);
    assert!(stale.is_broken("linearizable"), "stale reads pass for linearizable ones\n{stale}");
}

fn every_mutant_is_found(history: &History, healed_ns: u64) {
    let mut chance = Chance::new(seed());
    let mut planted = 0;
    for mutant in Mutant::ALL {
        for _ in 0..5 {
            let Some(wrong) = mutant.plant(history, &mut chance) else { continue };
            planted += 1;
            let found = !linearizability::check(&wrong.history).violations.is_empty()
                || !invariant::check(&wrong.history, healed_ns).is_empty();
            assert!(found, "{mutant:?} in key {} was not found", wrong.key);
        }
    }
    eprintln!("{planted} planted faults found");
    assert!(planted >= 10, "only {planted} faults found a place");
}
