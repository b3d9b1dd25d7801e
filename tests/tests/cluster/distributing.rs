//! Stock dspy in `with dspex.distribute("HOST:PORT")` on three nodes: what comes of it is what comes of dspy alone, also when a node is
//! lost meanwhile, with an LM that only the driver has, and where examples fail.

use std::collections::BTreeSet;
use std::time::Duration;

use dspex_tests::{Cluster, Project, Running, holds_within, places};
use serde_json::Value;

use super::distribution::lines_are_up;

const PATIENCE: Duration = Duration::from_secs(120);
/// dspy without a node.
const ALONE: &str = "-";

/// A cluster, a driver's project, and a place that its programs know on every node.
struct Subject {
    cluster: Cluster,
    project: Project,
    place: Project,
}

impl Subject {
    fn new() -> Self {
        let project = Project::empty();
        project.file("driver.py", include_str!("distributing/driver.py"));
        project.file("held.py", include_str!("distributing/held.py"));
        // What the package's own tests optimize on one node.
        for name in ["optimizable.py", "answering_lms.py"] {
            let file = places::checkout().join("python-runtime/python/tests").join(name);
            project.file(name, std::fs::read(file).expect("the package's tests are there"));
        }
        let cluster = Cluster::of(3);
        assert!(holds_within(PATIENCE, || lines_are_up(&cluster)), "{}", cluster.node(0).log());
        Self { cluster, project, place: Project::empty() }
    }

    fn address(&self, position: usize) -> String {
        format!("127.0.0.1:{}", self.cluster.node(position).api)
    }

    /// The driver's own arguments are all that tells it of nodes; their tokens are where they leave them for their user.
    fn start(&self, subject: &str, place: &str, addresses: &[&str]) -> Running {
        let driver = self.cluster.python(0, &["driver.py", subject, place]).args(addresses);
        let driver = driver.without("DSPEX_ADDRESS").without("DSPEX_TOKEN_FILE");
        driver.directory(self.project.directory()).limit(PATIENCE).start()
    }

    /// Its programs wait until they are released.
    fn start_held(&self, subject: &str) -> Running {
        let place = self.place.directory().to_str().expect("a path in UTF-8");
        self.start(subject, place, &[&self.address(0)])
    }

    fn alone(&self, subject: &str) -> Value {
        result(self.start(subject, "", &[ALONE]))["result"].take()
    }

    /// Waits until examples are under way on each of the nodes.
    #[track_caller]
    fn wait_until_all_execute(&self, driver: &mut Running) {
        let nodes = || self.place.read("seen").lines().map(ToOwned::to_owned).collect::<BTreeSet<_>>().len();
        let _ = holds_within(PATIENCE, || nodes() == 3 || !driver.runs());
        assert_eq!(nodes(), 3, "nodes that execute: {}", driver.stderr());
    }

    fn release(&self) {
        self.place.file("released", "");
    }
}

/// What a driver said last.
#[track_caller]
fn result(driver: Running) -> Value {
    let output = driver.finish().expect(0);
    let line = output.stdout.lines().rev().find_map(|line| line.strip_prefix("result "));
    let line = line.unwrap_or_else(|| panic!("it says no result\n{}", output.describe()));
    serde_json::from_str(line).expect("the driver writes JSON")
}

/// What a driver said that had every batch executed by the cluster.
#[track_caller]
fn distributed(driver: Running, batches_min: u64) -> Value {
    let mut said = result(driver);
    let (batches, remote) = (said["batches"].as_u64(), said["remote"].as_u64());
    assert_eq!(remote, batches, "each batch is a run of the cluster");
    assert!(batches >= Some(batches_min), "{batches:?} batches");
    said["result"].take()
}

#[test]
fn stock_optimizers_compile_on_a_cluster_what_they_compile_alone() {
    let subject = Subject::new();
    let mut driver = subject.start_held("held-in-bootstrap");
    subject.wait_until_all_execute(&mut driver);
    subject.release();
    let alone = subject.alone("held-in-bootstrap");
    assert_eq!(distributed(driver, 12), alone);
}

/// The node that the driver speaks with stays; the one that is lost has examples of the batch under way.
#[test]
fn a_node_that_is_killed_in_the_middle_changes_nothing_of_what_is_compiled() {
    let mut subject = Subject::new();
    let mut driver = subject.start_held("held-in-simba");
    subject.wait_until_all_execute(&mut driver);
    subject.cluster.kill(2);
    assert!(driver.runs(), "{}", driver.stderr());
    subject.release();
    let alone = subject.alone("held-in-simba");
    assert_eq!(distributed(driver, 12), alone);
}

#[test]
fn an_lm_object_of_the_driver_answers_workers_of_all_nodes_each_answer_once() {
    let subject = Subject::new();
    let mut driver = subject.start_held("served-at-once");
    subject.wait_until_all_execute(&mut driver);
    subject.release();
    let said = distributed(driver, 1);
    assert_eq!(said, subject.alone("served-at-once"));
    assert_eq!(said["given"].as_array().map(Vec::len), Some(36), "two calls of each of 18 examples");
}

#[test]
fn one_call_after_the_other_an_lm_object_of_the_driver_answers_in_the_order_of_dspy_through_every_node() {
    let subject = Subject::new();
    let addresses: Vec<String> = (0..3).map(|position| subject.address(position)).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let said = distributed(subject.start("served-in-order", "", &addresses), 6);
    let alone = result(subject.start("served-in-order", "", &[ALONE; 3]));
    assert_eq!(said, alone["result"]);
}

#[test]
fn progress_errors_and_failed_examples_on_a_cluster_are_those_of_dspy() {
    let subject = Subject::new();
    let said = distributed(subject.start("failing", "", &[&subject.address(0)]), 5);
    assert_eq!(said, subject.alone("failing"));
    let count = |name: &str| said[name].as_array().map(Vec::len);
    assert_eq!(count("told"), Some(2), "{said}");
    assert!(count("steps") > Some(1), "{said}");
}
