//! `dspex demo`: what it tells is true, and it leaves nothing behind.

use std::path::Path;
use std::time::Duration;

use dspex_tests::{Dspex, Home, holds_within, process};
use tempfile::TempDir;

/// For two evaluations on three nodes, on a machine that does something else as well.
const PATIENCE: Duration = Duration::from_secs(300);
const END_LIMIT: Duration = Duration::from_secs(60);

/// A demo whose directory lies in one of the test's own.
fn demo(home: &Home, arguments: &[&str]) -> (TempDir, Dspex) {
    let around = tempfile::Builder::new().prefix("dspex-test-").tempdir().expect("a directory");
    let demo = home.dspex(&["demo"]).args(arguments).env("TMPDIR", around.path());
    // What an earlier `dspex dev` printed, and the caller's settings: neither is the demo's.
    let demo = demo.env("DSPEX_ADDRESS", "127.0.0.1:1").env("DSPEX_TOKEN_FILE", "/nonexistent/token");
    let demo = demo.env("DSPEX_CA", "/nonexistent/ca.pem").env("DSPEX_API__LISTEN", "127.0.0.1:1");
    (around, demo.limit(PATIENCE))
}

#[track_caller]
fn expect_nothing_left(around: &Path, home: &Home) {
    let left: Vec<_> = std::fs::read_dir(around).expect("readable").flatten().map(|entry| entry.path()).collect();
    assert!(left.is_empty(), "{left:?} are left");
    let nobody = || process::started_with(around).is_empty();
    assert!(holds_within(END_LIMIT, nobody), "{:?} are left", process::started_with(around));
    assert!(!home.path().exists(), "the user's own home is nobody's business");
}

#[test]
fn it_loses_a_worker_and_the_owner_and_has_the_score_of_the_undisturbed_run() {
    let home = Home::new();
    let (around, demo) = demo(&home, &["-o", "json"]);
    let told = demo.run().expect(0);
    for line in [
        "1. Three nodes",
        "One cluster after",
        "2. Undisturbed",
        "took part: node-1 with",
        "kill -9 a worker of node-",
        "kill -9 node-1, which owns the run",
        "another node owns the run after",
        "The same score, 60.5 %, and the same digest",
        "the nodes have ended and their directory is removed",
    ] {
        assert!(told.stderr.contains(line), "{line:?} was not told\n{}", told.describe());
    }
    let taking_part: Vec<&str> = told.stderr.lines().filter(|line| line.contains("took part:")).collect();
    for name in ["node-1", "node-2", "node-3"] {
        assert!(taking_part.last().is_some_and(|line| line.contains(name)), "{name} took no part\n{}", told.describe());
    }
    // The score that tests/evaluation/digits.rs pins.
    let result = told.object();
    assert_eq!((&result["score"], &result["examples"], &result["nodes"]), (&60.5.into(), &200.into(), &3.into()));
    assert!(result["digest"].as_str().is_some_and(|digest| digest.len() == 64), "{result}");
    expect_nothing_left(around.path(), &home);
}

#[test]
fn ctrl_c_in_its_middle_leaves_nothing_behind() {
    let home = Home::new();
    let (around, demo) = demo(&home, &[]);
    let running = demo.start();
    let middle = || running.stdout().contains("run watch");
    assert!(holds_within(PATIENCE, middle), "{}\n{}", running.stdout(), running.stderr());
    let processes = process::started_with(around.path());
    assert!(processes.len() >= 3, "three nodes at least: {processes:?}");
    running.interrupt();
    running.finish().expect(130).says("interrupted");
    for pid in processes {
        assert!(process::ends_within(pid, END_LIMIT), "{} outlived the demo", process::command_line(pid));
    }
    expect_nothing_left(around.path(), &home);
}

#[test]
fn the_end_of_its_time_leaves_nothing_behind_either() {
    let home = Home::new();
    let (around, demo) = demo(&home, &["--command-timeout", "2"]);
    demo.run().expect(6).says("--command-timeout is over");
    expect_nothing_left(around.path(), &home);
}

#[test]
fn what_cannot_be_is_said_before_anything_starts() {
    let home = Home::new();
    home.dspex(&["demo", "--python", "/nonexistent/python"]).run().expect(2).says("PYTHON_MISSING");
    let nowhere = home.dspex(&["demo"]).env("TMPDIR", "/nonexistent/directory").run();
    nowhere.expect(1).says("no temporary directory").says("TMPDIR");
    assert!(!home.path().exists());
}
