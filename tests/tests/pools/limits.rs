//! Limits of memory: by cgroup where the node may make one, else by looking.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dspex_tests::{holds_within, skip};
use serde_json::json;

use crate::subject::Subject;

const GROW: &str = r#"
def grow(mebibytes, seconds=8):
    held = bytearray(mebibytes << 20)
    for position in range(0, len(held), 4096):
        held[position] = 1
    time.sleep(seconds)
    return len(held)

def by_child(mebibytes):
    import subprocess
    subprocess.run([sys.executable, "-c", f"import time; held = b'x' * ({mebibytes} << 20); time.sleep(20)"], check=True)
"#;

#[test]
fn a_worker_beyond_its_memory_is_ended_and_its_caller_told_the_limit() {
    let subject =
        Subject::with_settings(GROW, "[pools.general]\nworkers = 1\nmemory_limit = \"256MiB\"\nretries = 0\n");
    assert_eq!(
        subject.answer(&["program.py:grow", r#"{"mebibytes": 64, "seconds": 1}"#]),
        json!(64 << 20),
        "the control: less is fine"
    );
    let call =
        |command| subject.call(&[command, r#"{"mebibytes": 600}"#]).limit(Duration::from_secs(60)).run().expect(1);
    call("program.py:grow").says("WORKER_LOST").says("256 MiB").says("memory");
    // Where a cgroup holds the worker, the kernel may end the child alone, and the command hears of it.
    let by_child = call("program.py:by_child");
    assert!(by_child.stderr.contains("256 MiB") || by_child.stderr.contains("SIGKILL"), "{}", by_child.describe());
    assert_eq!(subject.answer(&["ping", "1"])["payload"], json!(1), "the pool goes on");
    let worker = &subject.workers()[0];
    assert_eq!(worker["memory_limit_bytes"], json!(256 << 20), "{worker}");
}

/// The cgroups that a node has made for its workers.
fn groups_of(node: u32) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(Path::new("/sys/fs/cgroup"), &format!("dspex-{node}-"), 0, &mut found);
    found
}

fn collect(directory: &Path, prefix: &str, depth: usize, found: &mut Vec<PathBuf>) {
    const DEPTH_MAX: usize = 12;
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            found.push(entry.path());
        } else if depth < DEPTH_MAX {
            collect(&entry.path(), prefix, depth + 1, found);
        }
    }
}

#[test]
fn the_cgroups_of_a_killed_node_are_removed_by_the_next() {
    let subject = Subject::with_settings(GROW, "[pools.general]\nworkers = 2\nmemory_limit = \"256MiB\"\n");
    subject.answer(&["ping"]);
    let node = subject.home.node();
    assert!(holds_within(Duration::from_secs(20), || subject.workers().len() == 2));
    if groups_of(node).is_empty() {
        return skip("the_cgroups_of_a_killed_node_are_removed_by_the_next", "no cgroup can be made here");
    }
    subject.home.kill_node();
    assert!(!groups_of(node).is_empty(), "the control: nobody else removes them");
    subject.answer(&["ping"]);
    assert!(holds_within(Duration::from_secs(20), || groups_of(node).is_empty()), "{:?}", groups_of(node));
    let successor = subject.home.node();
    assert!(!groups_of(successor).is_empty(), "its own are in use");
}
