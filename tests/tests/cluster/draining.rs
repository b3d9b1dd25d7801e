//! Nodes that drain: what they have finishes or moves, nothing is executed twice, and nothing new begins there.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use dspex_tests::{Cluster, Dspex, Executions, Project, holds_within};
use serde_json::Value;

use super::distribution::{EXAMPLES, finished, lines_are_up, show, undisturbed, wait_for, workers};
use super::following;

const PATIENCE: Duration = Duration::from_secs(120);

/// A program whose examples take a while, and that writes down each execution beside the project: that is shipped, and read-only.
struct Subject {
    project: Project,
    written: Project,
}

impl Subject {
    fn new() -> Self {
        let written = Project::empty();
        let program = format!(
            r#"
def executed(n):
    with open("{}/executions.log", "a") as log:
        log.write(f"{{n}}\n")

class Program(dspy.Module):
    def forward(self, n):
        executed(n)
        time.sleep(0.2)
        return dspy.Prediction(double=2 * int(n))

program = Program()

def metric(example, prediction):
    return prediction.double % 3 == 0
"#,
            written.directory().display()
        );
        let project = Project::new(&program);
        project.numbers(u32::try_from(EXAMPLES).expect("few"));
        Self { project, written }
    }

    fn executions(&self) -> Executions {
        self.written.executions()
    }

    /// The run has the result of an undisturbed one, and each example was executed once.
    #[track_caller]
    fn assert_unharmed(&self, shown: &Value) {
        let executions = self.executions();
        assert_eq!((executions.total() as usize, executions.examples().len()), (EXAMPLES, EXAMPLES), "{shown}");
        assert_eq!(shown["duplicates"], 0, "{shown}");
        let alone = undisturbed(&self.project);
        assert_eq!((&shown["digest"], &shown["score"]), (&alone["digest"], &alone["score"]));
        assert!(shown["digest"].is_string(), "{shown}");
    }
}

/// With a run that executes nothing twice: no straggler is hedged, and what is lost fails.
fn eval(cluster: &Cluster, position: usize, project: &Project) -> Dspex {
    let eval = cluster.dspex(position, &["eval", "program.py:program", "--devset", "data.jsonl"]);
    let eval = eval.args(["--metric", "program.py:metric", "--inputs", "n", "--num-threads", "6", "--retries", "0"]);
    eval.args(["-o", "json"]).directory(project.directory())
}

/// A run that goes on without its caller.
fn begin(cluster: &Cluster, position: usize, project: &Project) -> String {
    let begun = eval(cluster, position, project).arg("--detach").run().expect(0).object();
    begun["run_id"].as_str().expect("an id").to_owned()
}

/// Three voters whose lines are up.
fn cluster() -> Cluster {
    let cluster = Cluster::of(3);
    assert!(holds_within(PATIENCE, || lines_are_up(&cluster)), "{}", cluster.node(0).log());
    cluster
}

/// Waits until the node has nothing of runs left; how it is then.
#[track_caller]
fn drain(cluster: &Cluster, asked: usize, position: usize) -> Value {
    let name = format!("node-{position}");
    let drained = cluster.dspex(asked, &["member", "drain", &name, "--wait", "100", "-o", "json"]).run().expect(0);
    drained.object()
}

fn is_draining(cluster: &Cluster, asked: usize, position: usize) -> bool {
    cluster.member(asked, position).draining
}

#[test]
fn the_workers_of_a_node_that_drains_finish_and_others_take_their_places() {
    let subject = Subject::new();
    let cluster = cluster();
    let run = begin(&cluster, 0, &subject.project);
    assert!(holds_within(PATIENCE, || workers(&cluster, 2, &run) > 0), "node 2 has no worker of it");
    wait_for(&cluster, 0, &run, 20);
    let drained = drain(&cluster, 1, 2);
    assert_eq!((&drained["draining"], &drained["workers"], &drained["runs"]), (&true.into(), &0.into(), &0.into()));
    assert_eq!(workers(&cluster, 2, &run), 0);
    let listed = cluster.dspex(0, &["member", "list"]).run().expect(0).stdout;
    assert!(listed.lines().any(|line| line.contains("node-2") && line.contains("(drains)")), "{listed}");
    subject.assert_unharmed(&finished(&cluster, 1, &run));

    // The next run leaves it out, until that is undone.
    subject.project.numbers(4000);
    let next = begin(&cluster, 0, &subject.project);
    for position in 0..2 {
        assert!(holds_within(PATIENCE, || workers(&cluster, position, &next) > 0), "node {position} has no worker");
    }
    wait_for(&cluster, 0, &next, 20);
    assert_eq!(workers(&cluster, 2, &next), 0);
    let undone = cluster.dspex(0, &["member", "drain", "node-2", "--undo", "-o", "json"]).run().expect(0).object();
    assert_eq!(undone["draining"], false, "{undone}");
    // The node itself says so with its next presence.
    assert!(holds_within(PATIENCE, || !is_draining(&cluster, 0, 2)));
    assert!(holds_within(PATIENCE, || workers(&cluster, 2, &next) > 0), "it takes work again");
    cluster.dspex(1, &["run", "cancel", &next]).run().expect(0);
}

#[test]
fn a_run_whose_owner_drains_goes_on_under_another_when_nothing_of_it_is_under_way() {
    let subject = Subject::new();
    let cluster = cluster();
    let run = begin(&cluster, 0, &subject.project);
    wait_for(&cluster, 1, &run, 20);
    let drained = drain(&cluster, 1, 0);
    assert_eq!((&drained["workers"], &drained["runs"]), (&0.into(), &0.into()), "{}", show(&cluster, 1, &run));
    let log = cluster.node(0).log();
    assert!(log.contains("this node drains: another one owns the run now"), "{log}");
    subject.assert_unharmed(&finished(&cluster, 0, &run));
}

#[test]
fn a_run_that_is_watched_by_its_program_goes_on_when_its_owner_drains() {
    let subject = Subject::new();
    let cluster = cluster();
    let watching = eval(&cluster, 0, &subject.project).start();
    let listed = || cluster.dspex(1, &["run", "list", "-o", "json"]).run().expect(0).object();
    let has_begun = || listed()["items"][0]["done"].as_u64().is_some_and(|done| done >= 20);
    assert!(holds_within(PATIENCE, has_begun), "{}", watching.stderr());
    drain(&cluster, 1, 0);
    let output = watching.finish().expect(0);
    assert!(cluster.node(0).log().contains("another one owns the run now"), "{}", cluster.node(0).log());
    assert!(output.stderr.contains("is to go on with the run"), "who watches is told: {}", output.stderr);
    let shown = output.object();
    let run = shown["run_id"].as_str().expect("an id");
    subject.assert_unharmed(&finished(&cluster, 1, run));
}

#[test]
fn a_driver_that_answers_what_workers_ask_does_so_for_the_next_owner_too() {
    let cluster = cluster();
    let (_project, driver) = following::driver(&cluster);
    let run = following::run(&cluster, 1);
    wait_for(&cluster, 1, &run, 20);
    let drained = drain(&cluster, 1, 0);
    assert_eq!((&drained["workers"], &drained["runs"]), (&0.into(), &0.into()), "{}", show(&cluster, 1, &run));
    assert!(cluster.node(0).log().contains("another one owns the run now"), "{}", cluster.node(0).log());
    let output = driver.finish().expect(0);
    assert!(output.stdout.contains(following::SCORE), "{}", output.describe());
    assert_eq!(show(&cluster, 1, &run)["duplicates"], 0);
}

#[test]
fn a_leader_that_drains_hands_over_and_leads_no_more() {
    let cluster = cluster();
    let leader = cluster.leader();
    let asked = (leader + 1) % 3;
    let drained = drain(&cluster, asked, leader);
    assert_eq!(drained["leader"], false, "{drained}");
    assert_ne!(cluster.leader(), leader);
    // Those that do not drain are preferred from then on.
    let said = cluster.node(leader).log();
    assert!(said.contains("has handed over the leadership"), "{said}");
    cluster.dspex(leader, &["session", "create", "after"]).run().expect(0);
}

#[test]
fn a_node_without_a_vote_drains_like_any_other() {
    let subject = Subject::new();
    let mut cluster = cluster();
    let worker = cluster.add_worker();
    cluster.begin(worker);
    let lines = || cluster.node(worker).log().matches("a line for orders to a peer").count();
    assert!(holds_within(PATIENCE, || lines() >= 3), "{}", cluster.node(worker).log());
    let run = begin(&cluster, 0, &subject.project);
    assert!(holds_within(PATIENCE, || workers(&cluster, worker, &run) > 0), "it has no worker of the run");
    let drained = drain(&cluster, 1, worker);
    assert_eq!(
        (&drained["role"], &drained["draining"], &drained["workers"]),
        (&"worker".into(), &true.into(), &0.into())
    );
    assert_eq!(workers(&cluster, worker, &run), 0);
    cluster.terminate(worker);
    subject.assert_unharmed(&finished(&cluster, 1, &run));
    // It has left, and begins anew.
    cluster.begin(worker);
    let name = format!("node-{worker}");
    let takes_work = || {
        let members = cluster.status(0).members;
        members.iter().any(|member| member.name == name && member.reachable && !member.draining)
    };
    assert!(holds_within(PATIENCE, takes_work), "{:?}", cluster.status(0).members);
}

#[test]
fn a_node_that_drains_takes_work_again_when_it_has_started_anew() {
    let mut cluster = cluster();
    cluster.dspex(0, &["member", "drain", "node-2", "--no-wait"]).run().expect(0);
    assert!(is_draining(&cluster, 0, 2));
    cluster.terminate(2);
    cluster.start(2);
    assert!(holds_within(PATIENCE, || !is_draining(&cluster, 0, 2)), "{:?}", cluster.member(0, 2));
    let trail = cluster.dspex(0, &["audit", "-o", "json"]).run().expect(0).object();
    assert_eq!(trail["items"][0]["action"], "member drain", "{trail}");
}

#[test]
fn new_work_is_refused_where_a_node_drains_and_taken_at_the_next() {
    let subject = Subject::new();
    let cluster = cluster();
    drain(&cluster, 0, 2);
    let submit = |position: usize| eval(&cluster, position, &subject.project).arg("--detach").run();
    let call = |position: usize| cluster.dspex(position, &["pool", "call", "general", "ping"]).run();
    for refused in [submit(2), call(2)] {
        refused.expect(6).says("NODE_DRAINING").says("dspex member list");
    }
    // A session is data first: only what executes in it needs a home.
    cluster.dspex(2, &["session", "create", "s"]).run().expect(0);
    cluster.dspex(2, &["session", "execute", "s", "ping"]).run().expect(6).says("NODE_DRAINING");
    cluster.dspex(2, &["run", "list"]).run().expect(0);
    let run = submit(1).expect(0).object()["run_id"].as_str().expect("an id").to_owned();
    cluster.dspex(2, &["run", "pause", &run]).run().expect(0);
    cluster.dspex(2, &["run", "resume", &run, "--detach"]).run().expect(6).says("NODE_DRAINING");
    cluster.dspex(1, &["run", "resume", &run, "--detach"]).run().expect(0);
    cluster.dspex(1, &["run", "cancel", &run]).run().expect(0);
    call(1).expect(0);
    cluster.dspex(0, &["member", "drain", "node-2", "--undo"]).run().expect(0);
    assert!(holds_within(PATIENCE, || call(2).code == Some(0)), "it takes calls again");
}

/// As a Service of Kubernetes: one address, behind which each new connection is led to the node that `leads_to` names then.
fn service(leads_to: &Arc<AtomicU16>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let leads_to = Arc::clone(leads_to);
    // The threads end with the test.
    std::thread::spawn(move || {
        for caller in listener.incoming() {
            let caller = caller.expect("a caller");
            let node = TcpStream::connect(("127.0.0.1", leads_to.load(Ordering::SeqCst))).expect("a node");
            let back = (node.try_clone().expect("a socket"), caller.try_clone().expect("a socket"));
            for (mut from, mut to) in [(caller, node), back] {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        }
    });
    port
}

const CALLER: &str = r#"
import os, time, dspex

client = dspex.connect()
pool = client.pool()
session = client.create_session()
assert pool.call("ping", 1)["payload"] == 1
open("called", "w").close()
while not os.path.exists("drained"):
    time.sleep(0.05)
# Nothing of it was executed, so the client process takes it to the next node by itself.
session.execute("ping")
# The stream of calls is open at the first node, where what runs still ends: who calls hears of it once.
refused = 0
while True:
    try:
        print("answered", pool.call("ping", 2)["payload"])
        break
    except dspex.ConnectionLost as error:
        assert error.reason == "NODE_DRAINING", error
        refused += 1
        assert refused == 1, error
"#;

#[test]
fn a_client_of_one_address_goes_on_where_that_leads_when_its_node_drains() {
    let cluster = cluster();
    let (project, leads_to) = (Project::empty(), Arc::new(AtomicU16::new(cluster.node(2).api)));
    project.file("caller.py", CALLER);
    let secret = cluster.dspex(0, &["token", "create", "web", "--role", "runner"]).run().expect(0).stdout;
    project.file("web.token", secret);
    let token = project.path("web.token");
    let with_token =
        |position: usize, arguments: &[&str]| cluster.dspex(position, arguments).env("DSPEX_TOKEN_FILE", &token);
    let opens = |position: usize| with_token(position, &["session", "list"]).run().code == Some(0);
    assert!(holds_within(PATIENCE, || opens(0) && opens(2)), "nobody knows the token");
    let address = format!("127.0.0.1:{}", service(&leads_to));
    let caller = cluster.python(2, &["caller.py"]).directory(project.directory()).limit(PATIENCE);
    let caller = caller.env("DSPEX_ADDRESS", address).env("DSPEX_TOKEN_FILE", &token).start();
    assert!(holds_within(PATIENCE, || project.path("called").exists()), "{}", caller.stderr());
    drain(&cluster, 0, 2);
    leads_to.store(cluster.node(0).api, Ordering::SeqCst);
    project.file("drained", "");
    let output = caller.finish().expect(0);
    assert!(output.stdout.contains("answered 2"), "{}", output.describe());
}

#[test]
fn the_last_voter_that_takes_work_is_not_drained_nor_one_whose_others_are_away() {
    let mut cluster = cluster();
    for position in [0, 1] {
        cluster.dspex(2, &["member", "drain", &format!("node-{position}"), "--no-wait"]).run().expect(0);
    }
    let refused = cluster.dspex(0, &["member", "drain", "node-2"]).run().expect(1);
    refused.says("MEMBER_CHANGE_REFUSED").says("--undo");
    cluster.dspex(0, &["member", "drain", "node-1", "--undo"]).run().expect(0);
    cluster.kill(1);
    let refused = cluster.dspex(0, &["member", "drain", "node-2"]).run().expect(1);
    refused.says("MEMBER_CHANGE_REFUSED").says("does not answer");
    cluster.dspex(0, &["member", "drain", "node-9"]).run().expect(5).says("MEMBER_NOT_FOUND");
}

#[test]
fn a_node_that_has_drained_may_be_stopped_and_of_one_that_is_dead_it_is_said_that_nobody_knows() {
    let mut cluster = cluster();
    let begun = cluster.dspex(0, &["member", "drain", "node-2", "--no-wait"]).run().expect(0);
    begun.says("to wait until it can be stopped: dspex member drain node-2").does_not_say("can be stopped now");
    let drained = cluster.dspex(0, &["member", "drain", "node-2"]).run().expect(0);
    drained.says("node-2 has drained").says("can be stopped now");
    let undone = cluster.dspex(0, &["member", "drain", "node-2", "--undo"]).run().expect(0);
    undone.says("node-2 does not drain: it takes work");
    cluster.kill(2);
    cluster.leader();
    let dead = cluster.dspex(0, &["member", "drain", "node-2", "-q"]).run().expect(0);
    dead.says("warning:").says("node-2 does not answer").does_not_say("can be stopped now");
    assert!(is_draining(&cluster, 0, 2), "the log knows");
}

#[test]
fn a_cluster_of_one_is_told_to_stop_its_node_and_has_nothing_to_undo() {
    let cluster = Cluster::of(1);
    let refused = cluster.dspex(0, &["member", "drain", "node-0"]).run().expect(1);
    refused.says("MEMBER_CHANGE_REFUSED").says("is the only voter").says("SIGTERM").does_not_say("--undo");
    let undone = cluster.dspex(0, &["member", "drain", "node-0", "--undo"]).run().expect(0);
    undone.says("node-0 does not drain: it takes work");
}

#[test]
fn a_drain_that_takes_longer_is_said_to_go_on() {
    let cluster = cluster();
    let late = cluster.dspex(0, &["member", "drain", "node-2", "--wait", "0.1"]).run().expect(7);
    late.says("node-2 has not drained yet").says("it goes on draining");
    assert!(is_draining(&cluster, 0, 2));
    drain(&cluster, 0, 2);
}

#[test]
fn a_node_that_is_told_to_end_lets_its_workers_finish_first() {
    let subject = Subject::new();
    let mut cluster = cluster();
    let run = begin(&cluster, 0, &subject.project);
    assert!(holds_within(PATIENCE, || workers(&cluster, 2, &run) > 0), "node 2 has no worker of it");
    wait_for(&cluster, 0, &run, 20);
    cluster.terminate(2);
    assert!(!is_draining(&cluster, 0, 2), "the log knows nothing of that");
    subject.assert_unharmed(&finished(&cluster, 1, &run));
}

#[test]
fn an_owner_that_is_told_to_end_hands_its_runs_over_first() {
    let subject = Subject::new();
    let mut cluster = cluster();
    let run = begin(&cluster, 0, &subject.project);
    wait_for(&cluster, 0, &run, 20);
    let said = cluster.terminate(0);
    assert!(said.contains("this node drains: another one owns the run now"), "{said}");
    subject.assert_unharmed(&finished(&cluster, 1, &run));
}
