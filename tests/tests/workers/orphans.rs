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
fn no_worker_zygote_or_child_survives_kill_9_of_the_node() {
    let subject = Subject::new(40, &[(2, "spawn"), (5, "fork"), (20, "hang")], CHILDREN);
    let eval = subject.eval().start();
    subject.home.wait_for_results(30);
    wait_until("both children are there", Duration::from_secs(30), || (children(&subject).len() == 2).then_some(()));
    let processes = subject.home.processes();
    let children = children(&subject);
    assert!(processes.len() >= 4, "a node, a zygote and two workers are there: {processes:?}");
    assert!(children.iter().all(|&child| process::runs(child)), "the control: the children do run");
    subject.home.kill_node();
    for pid in processes.into_iter().chain(children) {
        let line = process::command_line(pid);
        assert!(process::ends_within(pid, AFTERMATH), "{pid} survived the node by {AFTERMATH:?}: {line}");
    }
    eval.finish().expect(6);
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
    for worker in subject.home.workers() {
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
