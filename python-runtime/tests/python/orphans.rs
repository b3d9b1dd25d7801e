//! A node that dies leaves no process behind.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use dspex_python::{Fingerprint, Limits, clean_up_orphans};

use crate::support::{environment, eventually, interpreter, open};

/// Set for the copy of this test binary that plays the node.
const NODE_DIRECTORY: &str = "DSPEX_TEST_NODE_DIRECTORY";

/// Not a test of its own: the node of the test below. It starts four workers and waits to be killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_a_node_until_killed() {
    let Some(directory) = std::env::var_os(NODE_DIRECTORY).map(PathBuf::from) else { return };
    let (zygotes, _registry) = open(&directory, Limits::default());
    let zygote = zygotes.zygote(&interpreter(), &environment()).await.expect("a zygote");
    let mut workers = Vec::new();
    for number in 0..4 {
        let id = format!("w{number}");
        workers.push(zygote.fork(&id, &environment(), &directory, "pool").await.expect("a worker"));
    }
    std::fs::write(directory.join("ready"), "").expect("written");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn the_death_of_a_node_is_the_death_of_its_processes() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let mut node = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "orphans::as_a_node_until_killed"])
        .env(NODE_DIRECTORY, directory.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("a node");
    eventually("the node has its workers", || directory.path().join("ready").exists()).await;
    let processes: Vec<Fingerprint> = std::fs::read_dir(directory.path().join("processes"))
        .expect("a registry")
        .map(|file| {
            let name = file.expect("readable").file_name().into_string().expect("ascii");
            let pid = name.split('-').next().and_then(|pid| pid.parse().ok()).expect("PID-TICKS.json");
            Fingerprint::of(pid).expect("a running process")
        })
        .collect();
    assert_eq!(processes.len(), 5, "a zygote and four workers");

    node.kill().expect("killed");
    node.wait().expect("reaped");
    eventually("its processes are gone", || processes.iter().all(|process| !process.is_running())).await;
    let cleanup = clean_up_orphans(&directory.path().join("processes")).expect("cleans up");
    assert_eq!(cleanup.registered.len(), 5);
    assert_eq!(cleanup.surviving, []);
}
