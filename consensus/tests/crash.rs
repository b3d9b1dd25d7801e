//! kill -9 in the middle of writing: nothing that was acknowledged is missing afterwards.
//!
//! kill -9 leaves the page cache intact, so this shows that acknowledging waits for applying and that a start recovers,
//! not that anything was synced. A control without fsync would pass here too; power cuts are tested where they can be
//! made (`chaos`).

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dspex_consensus::ConsensusOptions;
use support::{Node, has, must_submit};

const DIRECTORY: &str = "DSPEX_TEST_DIRECTORY";
const FIRST: &str = "DSPEX_TEST_FIRST";

/// The process that the test below starts and kills: it proposes and prints what was acknowledged. Started as a test it
/// has nothing to do.
#[test]
#[expect(clippy::print_stdout, reason = "the parent reads it")]
fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let first: u128 = std::env::var(FIRST).expect("set by the parent").parse().expect("a number");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        // Small limits, so that snapshots and purges are under way when the kill comes.
        let options = ConsensusOptions { snapshot_log_bytes: 32 * 1024, kept_entries: 5, ..Default::default() };
        let node = Node::start_with(Path::new(&directory), options).await;
        let tasks = (0..16_u128).map(|task| {
            let consensus = node.consensus.clone();
            tokio::spawn(async move {
                for step in 0.. {
                    let number = first + step * 16 + task;
                    must_submit(&consensus, number).await;
                    println!("acknowledged {number}");
                }
            })
        });
        futures::future::join_all(tasks.collect::<Vec<_>>()).await;
    });
}

/// Runs the child until it has acknowledged some writes, kills it, and returns all that it printed.
fn run_and_kill(directory: &Path, first: u128, least: usize) -> Vec<u128> {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "child", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the child starts");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let (mut acknowledged, deadline) = (Vec::new(), Instant::now() + Duration::from_secs(60));
    let mut killed = false;
    for line in lines {
        let line = line.expect("readable");
        let number: Option<u128> = line.split("acknowledged ").nth(1).and_then(|text| text.trim().parse().ok());
        acknowledged.extend(number);
        if !killed && (acknowledged.len() >= least || Instant::now() > deadline) {
            child.kill().expect("killed");
            killed = true;
        }
    }
    let status = child.wait().expect("ended");
    assert!(killed && !status.success(), "the child ended by itself: {status}");
    acknowledged
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut acknowledged = Vec::new();
    for round in 0..5_usize {
        let seen = run_and_kill(directory.path(), round as u128 * 1_000_000, 100 + 333 * round);
        assert!(seen.len() >= 100);
        acknowledged.extend(seen);

        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let node = Node::start(directory.path()).await;
            let state = node.state();
            let lost: Vec<_> = acknowledged.iter().filter(|number| !has(&state, **number)).collect();
            eprintln!(
                "round {round}: {} acknowledged, {} lost, {} kills landed",
                acknowledged.len(),
                lost.len(),
                round + 1
            );
            assert!(lost.is_empty(), "lost: {lost:?}");
            // The test can see a loss: a number that was never proposed is missing.
            assert!(!has(&state, u128::MAX));
            node.stop().await;
        });
    }
}
