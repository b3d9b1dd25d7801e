//! Many seeds, each another cluster with other faults: none of them breaks an invariant, and together they have done what
//! they are for.

use dspex_simulation::{Simulation, Statistics};

/// As many as a run of all tests has time for. More of them: `DSPEX_SIMULATION_SEEDS=1000`, or `examples/simulate.rs`.
const SEEDS: u64 = 120;

fn seeds() -> u64 {
    std::env::var("DSPEX_SIMULATION_SEEDS").map_or(SEEDS, |text| text.parse().expect("a number of seeds"))
}

#[test]
fn no_seed_breaks_an_invariant_and_all_of_them_together_have_lived() {
    let (seeds, mut all) = (seeds(), Statistics::default());
    for seed in 0..seeds {
        let report = Simulation::new(seed).run();
        assert!(
            report.violation.is_none(),
            "{report}\nsee what happened: cargo run --release -p dspex-simulation --example simulate -- --seed {seed} --trace"
        );
        all.add(&report.statistics);
    }
    eprintln!("{all}");
    assert_eq!(all.simulations, seeds);
    assert!(all.committed_something * 100 >= seeds * 95, "at least 95 % commit something among faults: {all}");
    assert!(all.acknowledged > 50 * seeds && all.reads > 50 * seeds, "clients have worked: {all}");
    assert!(all.repeated > seeds, "writes without an answer were sent again: {all}");
    assert!(all.leaders > 3 * seeds, "leaders were lost: {all}");
    assert!(all.with_changes * 4 > seeds && all.changes > seeds, "members came and went: {all}");
    assert!(all.with_installs * 4 > seeds, "nodes that lagged behind have installed snapshots: {all}");
    assert!(all.blobs_promised > 5 * seeds && all.blobs_freed > 0, "the log has named blobs: {all}");
    assert!(all.executions > seeds, "executions were recorded: {all}");
    assert!(all.blobs_fetched > seeds, "nodes that lagged behind have fetched blobs: {all}");
    assert!(all.crashes > 3 * seeds && all.caught > 0 && all.faults > 3 * seeds, "things went wrong: {all}");
}
