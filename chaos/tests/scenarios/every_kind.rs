use std::time::Duration;

use dspex_chaos::cluster::{Cluster, Layout, Need};
use dspex_chaos::scenario::{self, Options, Scenario, play};
use dspex_chaos::stage::OwnCluster;

use crate::places::{program, seed};
use crate::skip::is_available;

/// Each scenario makes its fewest faults, however long they take.
const LENGTH: Duration = Duration::from_secs(1);

/// One cluster for all of them, with all that this machine can have: what one fault leaves behind meets the next.
#[test]
fn every_kind_of_fault_breaks_no_promise() {
    let needs: Vec<Need> = [Need::Networks, Need::Disks, Need::Clocks]
        .into_iter()
        .filter(|need| is_available(&format!("{need:?} of scenarios"), need.probe()))
        .collect();
    let layout = Layout::plain(program(), 3).with(&needs);
    let mut cluster = Cluster::start(layout).expect("a cluster");
    let mut red = Vec::new();
    // Those that call code are played by `sessions`, those that evaluate by `runs`.
    for scenario in scenario::ALL.iter().filter(|scenario| !scenario.calls && !scenario.evaluates) {
        if !scenario.needs.iter().all(|need| cluster.layout().has(*need)) {
            // Its need has been skipped above.
            continue;
        }
        let report = play(scenario, &mut OwnCluster::new(&mut cluster), &Options::new(seed(), LENGTH));
        eprintln!("{report}");
        if !report.is_green() {
            red.push(report.to_string());
        }
    }
    if !red.is_empty() {
        let logs = cluster.keep();
        panic!("{}the logs are kept in {}", red.join("\n"), logs.display());
    }
}

#[test]
fn every_scenario_is_played_or_skipped_for_a_need_that_it_names() {
    let without: Vec<&str> =
        scenario::ALL.iter().filter(|scenario| scenario.needs.is_empty()).map(|scenario| scenario.name).collect();
    assert_eq!(without, ["kill-nine", "pause", "flipped-byte"], "these run everywhere");
    let needs = |of: &Scenario| of.needs.len();
    assert_eq!(scenario::find("mixed").map(needs), Some(3));
}
