//! Sessions under faults: code is called in them, and some end by their lifetimes.

use std::time::Duration;

use dspex_chaos::cluster::{Cluster, Layout, Need};
use dspex_chaos::scenario::{self, Options, Scenario, play};
use dspex_chaos::stage::OwnCluster;

use crate::controls::every_mutant_is_found;
use crate::places::{program, seed};
use crate::skip::is_available;

const LENGTH: Duration = Duration::from_secs(6);

/// What is left of the scenario where nodes can have no hosts of their own.
const WITHOUT_PARTITIONS: Scenario = Scenario {
    name: "sessions-on-loopback",
    says: "kills and pauses, while code is called in sessions and sessions end by their lifetimes",
    needs: &[],
    least: 3,
    calls: true,
    evaluates: false,
    draw: |chance, nodes| {
        let name = if chance.percent(50) { "kill-nine" } else { "pause" };
        (scenario::find(name).expect("known").draw)(chance, nodes)
    },
};

#[test]
fn under_faults_no_call_of_a_session_is_lost_or_applied_twice_and_no_lifetime_is_cut_short() {
    let with_partitions = is_available("partitions for sessions", Need::Networks.probe());
    let scenario = if with_partitions { scenario::find("sessions").expect("known") } else { &WITHOUT_PARTITIONS };
    let mut cluster = Cluster::start(Layout::plain(program(), 3).with(scenario.needs)).expect("a cluster");
    let report = play(scenario, &mut OwnCluster::new(&mut cluster), &Options::new(seed(), LENGTH));
    eprintln!("{report}");
    if !report.is_green() {
        panic!("{report}the logs are kept in {}", cluster.keep().display());
    }
    every_mutant_is_found(&report.recording.history, report.recording.healed_ns);
}
