//! Limits of memory: by cgroup where the node may make one, else by looking.

use std::time::Duration;

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
