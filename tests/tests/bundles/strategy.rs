//! Where `dspex eval` has its run executed, how that is forced, and that it is said.

use dspex_tests::{Home, free_port};
use serde_json::Value;

use crate::subject::{EVAL, Node, project};

fn dead_address() -> String {
    format!("127.0.0.1:{}", free_port())
}

fn place(result: &Value) -> (&str, &str) {
    let word = |name: &str| result[name].as_str().unwrap_or_default();
    (word("strategy"), word("strategy_reason"))
}

fn runs_at(node: &Node) -> usize {
    node.ask(async |client| client.list_runs(Default::default()).await).expect("it answers").items.len()
}

#[test]
fn without_an_address_it_is_this_machine_and_the_result_says_so() {
    let (home, project) = (Home::new(), project(2));
    let output = home.eval(&project).run().expect(0);
    assert_eq!(place(&output.object()), ("local", "no_address"));
    output.does_not_say("executing on this machine");
}

#[test]
fn distributed_needs_a_cluster_and_goes_nowhere_else() {
    let (home, project) = (Home::new(), project(2));
    home.eval(&project).args(["--distributed"]).run().expect(2).says("needs a cluster").says("--address");
    let socket = home.eval(&project).args(["--distributed", "--address", "unix:/run/node.sock"]).run().expect(2);
    socket.says("the socket of an embedded node");
    let away = home.eval(&project).args(["--distributed"]).env("DSPEX_ADDRESS", dead_address()).run().expect(6);
    away.says("NODE_UNREACHABLE").says("no node answers at").does_not_say("executed").does_not_say("executing");
    away.says("any other node of its cluster").says("--local executes it on this machine instead");
    let listed = home.dspex(&["run", "list"]).env("DSPEX_ADDRESS", dead_address()).run().expect(6);
    listed.says("any other node of its cluster").says("--local asks for the runs of this machine");
    let pools = home.dspex(&["pool", "stats"]).env("DSPEX_ADDRESS", dead_address()).run().expect(6);
    pools.says("any other node of its cluster").does_not_say("--local");
    home.eval(&project).args(["--local", "--distributed"]).run().expect(2);
    assert!(home.nodes().is_empty(), "a node was started");
}

#[test]
fn local_is_this_machine_whatever_the_address() {
    let (node, project) = (Node::start(), project(2));
    let result = node.eval(&project).arg("--local").run().expect(0).object();
    assert_eq!((place(&result), &result["score"]), (("local", "forced"), &100.0.into()));
    assert_eq!((runs_at(&node), node.home.runs().len()), (0, 1));
    let refused = node.eval(&project).args(["--local", "--environment", "default"]).run().expect(2);
    refused.says("leave one of the two out");
    // Nothing of the cluster plays a part, its token least of all.
    node.eval(&project).arg("--local").env("DSPEX_TOKEN_FILE", "/nonexistent/token").run().expect(0);
}

#[test]
fn a_run_that_stayed_here_is_found_and_goes_on_with_what_is_printed_whatever_the_address() {
    let (node, project) = (Node::start(), project(2));
    // As people see it: without `-o json`.
    let table = node.dspex(&EVAL[..6]).arg("--local").directory(project.directory()).run().expect(0);
    let run = node.home.runs().remove(0).run_id;
    assert!(table.stdout.contains(&format!("dspex run --local results {run}")), "{}", table.stdout);
    node.dspex(&["run", "--local", "results", &run]).run().expect(0);
    node.dspex(&["run", "show", &run, "--local"]).run().expect(0);
    // As a whole, and by its beginning.
    for named in [&run[..], &run[..13]] {
        let unknown = node.dspex(&["run", "show", named]).run().expect(5);
        unknown.says("RUN_NOT_FOUND").says("dspex run list --all shows the runs").says("--local");
    }
    node.eval(&project).arg("--resume").run().expect(5).says("NO_RUN_TO_RESUME").says("--local");
}

#[test]
fn a_cluster_that_is_away_is_replaced_by_this_machine_and_that_is_said() {
    let (home, project) = (Home::new(), project(2));
    let address = dead_address();
    let eval = || home.eval(&project).env("DSPEX_ADDRESS", &address);
    let output = eval().args(["-q"]).run().expect(0);
    output.says("warning:").says(&format!("no node answers at {address}")).says("--distributed");
    let result = output.object();
    assert_eq!((place(&result), &result["score"]), (("local", "cluster_unavailable"), &100.0.into()));
    assert!(result["strategy_detail"].as_str().is_some_and(|detail| detail.contains(&address)), "{result}");
    assert_eq!(home.runs().len(), 1);
    // What was meant to stay there is no business of this machine.
    for option in ["--detach", "--resume", "--in-place"] {
        eval().args([option]).run().expect(6).says("NODE_UNREACHABLE").says("--local");
    }
    eval().args(["--environment", "default"]).run().expect(6);
    assert_eq!(home.runs().len(), 1);
}

#[test]
fn what_a_person_has_to_put_right_is_an_error_and_no_reason_to_go_elsewhere() {
    let (node, project) = (Node::start(), project(2));
    let wrong = project.path("wrong.token");
    std::fs::write(&wrong, "not the token of anybody").expect("written");
    node.eval(&project).env("DSPEX_TOKEN_FILE", &wrong).run().expect(4).says("UNAUTHENTICATED");
    // Its other port is that of HTTP: something answers, and it is no node.
    let http = format!("127.0.0.1:{}", node.http);
    let refused = node.eval(&project).env("DSPEX_ADDRESS", &http).run().expect(6);
    refused.says("is not a DSPex node").does_not_say("executing on this machine");
    assert!(node.home.nodes().is_empty(), "an embedded node was started");
}

#[test]
fn an_address_means_its_cluster_until_both_sides_have_shown_that_this_machine_is_done_before() {
    let (node, project) = (Node::start(), project(3));
    let one_by_one = ["--num-threads", "1"];
    let there = node.eval(&project).args(one_by_one).args(["--env", "PAUSE=3"]).run().expect(0);
    there.says(&format!("asking the cluster at 127.0.0.1:{} (distributed)", node.api));
    assert_eq!(place(&there.object()), ("distributed", "costs_unknown"));
    // Twice, so that the newest one has found the embedded node and its Python warm.
    for _ in 0..2 {
        node.eval(&project).arg("--local").args(one_by_one).run().expect(0);
    }
    let tiny = node.eval(&project).args(one_by_one).run().expect(0);
    tiny.says("executing on this machine (local): 3 examples are expected to take");
    assert_eq!(place(&tiny.object()), ("local", "expected_faster"));
    assert_eq!((runs_at(&node), node.home.runs().len()), (1, 3));
    // What nothing is known of goes where the address says, and what is forced goes there anyway.
    project.file("other.jsonl", "{\"n\": 1}\n");
    let other = ["--devset", "other.jsonl"];
    let words = ["eval", "program.py:program", "--metric", "program.py:metric", "-o", "json"];
    let result = node.dspex(&words).args(other).directory(project.directory()).run().expect(0).object();
    assert_eq!(place(&result), ("distributed", "costs_unknown"));
    let forced = node.eval(&project).args(one_by_one).arg("--distributed").run().expect(0).object();
    assert_eq!(place(&forced), ("distributed", "forced"));
    let detached = node.eval(&project).arg("--detach").run().expect(0).object();
    assert_eq!(place(&detached), ("distributed", "needs_cluster"));
}
