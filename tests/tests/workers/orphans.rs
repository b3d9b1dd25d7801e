//! Nothing outlives its node: no zygote, no worker, no child of a worker.

use std::time::Duration;

use dspex_tests::{process, wait_until};

use crate::subject::Subject;

const CHILDREN: &str = r#"
def spawn(n):
    child = subprocess.Popen(["sleep", "1000"])
    with open("children.log", "a") as log:
        log.write(f"{child.pid}\n")

def fork(n):
    child = os.fork()
    if child == 0:
        # Else it would hold the pipes of a Popen in another thread open.
        os.closerange(3, 10000)
        time.sleep(1000)
        os._exit(0)
    with open("children.log", "a") as log:
        log.write(f"{child}\n")
"#;

/// How long something may outlive its node.
const AFTERMATH: Duration = Duration::from_secs(2);

fn children(subject: &Subject) -> Vec<u32> {
    subject.project.read("children.log").lines().filter_map(|line| line.parse().ok()).collect()
}

#[test]
fn no_worker_and_no_zygote_survives_kill_9_of_the_node() {
    let subject = Subject::new(40, &[(2, "spawn"), (5, "fork"), (20, "hang")], CHILDREN);
    let eval = subject.eval().start();
    subject.home.wait_for_results(30);
    wait_until("both children are there", Duration::from_secs(30), || (children(&subject).len() == 2).then_some(()));
    let children = children(&subject);
    let zygotes: Vec<u32> = subject.home.zygotes().iter().map(|zygote| zygote.pid).collect();
    let workers: Vec<u32> = subject.home.workers().iter().map(|worker| worker.pid).filter(|&pid| pid > 0).collect();
    assert!(!zygotes.is_empty() && workers.len() == 2, "{zygotes:?} {workers:?}");
    let all = || zygotes.iter().chain(&workers).chain(&children);
    assert!(all().all(|&pid| process::runs(pid)), "the control: they do run");

    // The kernel ends what the node forked, and what that forked.
    subject.home.kill_node();
    for &pid in zygotes.iter().chain(&workers) {
        assert!(process::ends_within(pid, AFTERMATH), "{pid} survived the node: {}", process::command_line(pid));
    }
    eval.finish().expect(6);

    // What the program itself started is found and ended by the next node at the latest.
    subject.home.dspex(&["run", "list"]).run().expect(0);
    for pid in children {
        assert!(process::ends_within(pid, AFTERMATH), "{pid} survived two nodes: {}", process::command_line(pid));
    }
}

#[test]
fn children_of_workers_end_with_their_run() {
    let subject = Subject::new(40, &[(2, "spawn"), (5, "fork")], CHILDREN);
    let output = subject.eval().run().expect(0);
    subject.expect_failures(&output, &[]);
    let children = children(&subject);
    assert_eq!(children.len(), 2);
    for pid in children {
        assert!(process::ends_within(pid, AFTERMATH), "{pid} survived its worker: {}", process::command_line(pid));
    }
}

#[test]
fn children_of_a_worker_that_is_killed_die_with_it() {
    let subject = Subject::new(40, &[(2, "spawn"), (20, "hang")], CHILDREN);
    let eval = subject.eval().args(["--timeout", "3"]).start();
    wait_until("the child is there", Duration::from_secs(60), || (children(&subject).len() == 1).then_some(()));
    for worker in subject.home.workers().iter().filter(|worker| worker.pid > 0) {
        process::kill(worker.pid);
    }
    assert!(process::ends_within(children(&subject)[0], AFTERMATH), "a child survived its worker");
    let output = eval.finish().expect(0);
    subject.expect_failures(&output, &[(20, "TimedOut")]);
}

#[test]
fn a_stopped_node_leaves_nothing_behind() {
    let subject = Subject::new(10, &[(2, "spawn")], CHILDREN);
    subject.eval().run().expect(0);
    let processes = subject.home.processes();
    assert!(processes.len() >= 2, "the node and its zygote stay warm: {processes:?}");
    subject.home.dspex(&["local", "stop"]).run().expect(0);
    for pid in processes.into_iter().chain(children(&subject)) {
        assert!(process::ends_within(pid, AFTERMATH), "{pid} is still there: {}", process::command_line(pid));
    }
    let status = subject.home.dspex(&["local", "status", "-o", "json"]).run().expect(0).object();
    assert_eq!(status["running"], false);
}
