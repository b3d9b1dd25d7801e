//! A seed is all that a simulation depends on: the same in this process, in another one, and beside others.

use std::process::Command;

use dspex_simulation::Simulation;

const SEEDS: [u64; 4] = [2, 7, 11, 31];
const CHILD: &str = "DSPEX_TEST_CHILD";

fn fingerprints() -> String {
    SEEDS.map(|seed| format!("{:016x}", Simulation::new(seed).run().fingerprint)).join(" ")
}

/// The process that the test below starts. Started as a test it has nothing to do.
#[test]
#[expect(clippy::print_stdout, reason = "the parent reads it")]
fn child() {
    if std::env::var_os(CHILD).is_some() {
        println!("fingerprints: {}", fingerprints());
    }
}

#[test]
fn a_seed_gives_the_same_in_another_process() {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    let output = command.args(["--exact", "child", "--nocapture"]).env(CHILD, "1").output().expect("it runs");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let theirs = printed.split("fingerprints: ").nth(1).and_then(|text| text.lines().next());
    assert_eq!(theirs, Some(&*fingerprints()), "{printed}");
}

#[test]
fn a_seed_gives_the_same_again_down_to_the_last_event() {
    let mut seen = 0;
    for seed in SEEDS {
        let beside = std::thread::spawn(move || Simulation::new(seed).traced().run());
        let (first, second) = (Simulation::new(seed).traced().run(), beside.join().expect("it ends"));
        seen += first.trace.len();
        assert_eq!(first, second, "seed {seed}");
        // Looking on changes nothing.
        assert_eq!(Simulation::new(seed).run().fingerprint, first.fingerprint, "seed {seed}");
    }
    // One seed may be a quiet one; which it is changes with the code.
    assert!(seen > 500 * SEEDS.len(), "the seeds have lived: {seen} events");
}

#[test]
fn another_seed_gives_something_else() {
    let mut fingerprints: Vec<String> = fingerprints().split(' ').map(str::to_owned).collect();
    fingerprints.sort();
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), SEEDS.len());
}
