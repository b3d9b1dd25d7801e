//! A run gives the result of one node on any number of them, whatever breaks: many seeds, each another run with other faults. And the
//! controls: what protects it is taken away, and missed.

use dspex_simulation::{Evaluation, RunMutant, Tally};

/// As many as a run of all tests has time for. More of them: `DSPEX_SIMULATION_SEEDS=1000`.
const SEEDS: u64 = 300;
const NODES: [u64; 4] = [1, 2, 3, 8];

fn seeds() -> u64 {
    std::env::var("DSPEX_SIMULATION_SEEDS").map_or(SEEDS, |text| text.parse().expect("a number of seeds"))
}

#[test]
fn a_run_has_the_digest_of_one_node_on_1_2_3_and_8_whatever_breaks() {
    let (seeds, mut all) = (seeds(), Tally::default());
    for seed in 0..seeds {
        for nodes in NODES {
            let evaluated = Evaluation::new(seed, nodes).run();
            assert!(evaluated.violation.is_none(), "{evaluated}");
            assert_eq!(evaluated.result, Some(Evaluation::new(seed, 1).expected()), "{evaluated}");
            all += evaluated.tally;
        }
    }
    eprintln!("{all}");
    let runs = seeds * NODES.len() as u64;
    assert!(all.kills > runs / 2 && all.workers_killed > runs / 10, "things died: {all}");
    assert!(all.lines_lost > runs && all.owners > runs / 4, "lines and owners were lost: {all}");
    assert!(
        all.wishes > runs / 4 && all.fenced > runs / 20,
        "users stopped runs while results were on their way: {all}"
    );
    assert!(all.duplicates > runs / 4 && all.again > runs / 2, "something was executed again: {all}");
    assert!(all.results_lost > 0, "results were lost with their nodes: {all}");
}

#[test]
fn a_seed_gives_the_same_run_again() {
    for seed in 0..20 {
        assert_eq!(Evaluation::new(seed, 3).run(), Evaluation::new(seed, 3).run(), "seed {seed}");
    }
}

/// Runs seeds until one misses it.
fn is_missed(mutant: RunMutant) {
    for seed in 0..seeds() {
        for nodes in [3, 8] {
            let evaluated = Evaluation::new(seed, nodes).without(mutant).run();
            if evaluated.violation.as_deref().is_some_and(|broken| broken.starts_with(mutant.broken())) {
                eprintln!("{evaluated}");
                return;
            }
        }
    }
    panic!("{} seeds have not missed it: {mutant:?}", seeds());
}

#[test]
fn results_of_an_earlier_generation_that_count_are_found() {
    is_missed(RunMutant::AcceptsOldGenerations);
}

#[test]
fn a_later_result_that_takes_the_place_of_the_first_is_found() {
    is_missed(RunMutant::DropsFirstWins);
}

#[test]
fn results_that_are_lost_with_their_node_and_waited_for_are_found() {
    is_missed(RunMutant::ForgetsLostResults);
}

#[test]
fn workers_that_nobody_ends_because_another_has_their_name_are_found() {
    is_missed(RunMutant::ReusesKeys);
}
