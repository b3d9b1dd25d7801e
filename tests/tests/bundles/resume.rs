//! A run goes on with what it was sent with, and with nothing else.

use dspex_tests::Project;
use serde_json::json;

use crate::subject::{Node, project};

/// A run that was interrupted by its user, with some results.
fn interrupted(node: &Node, project: &Project) -> String {
    let eval = node.eval(project).args(["--env", "PAUSE=0.1", "--num-threads", "2"]).start();
    let run = node.wait_for_results(3);
    eval.interrupt();
    eval.finish().expect(130);
    run.run_id
}

#[test]
fn a_run_is_found_by_its_project_and_goes_on() {
    let (node, project) = (Node::start(), project(60));
    let run = interrupted(&node, &project);
    let again = ["--env", "PAUSE=0.1", "--num-threads", "2", "--resume"];
    // Another project is another evaluation, whichever of its files differs.
    project.file("more.py", "");
    node.eval(&project).args(again).run().expect(5).says("NO_RUN_TO_RESUME");
    std::fs::remove_file(project.path("more.py")).expect("removed");
    let before = node.run(&run).done;
    let resumed = node.eval(&project).args(again).run().expect(0);
    resumed.says("is there already, unchanged").says("continues");
    let result = resumed.object();
    assert_eq!((&result["run_id"], &result["score"]), (&json!(run), &json!(100.0)));
    assert!(before >= 3 && node.run(&run).duplicates == 0);
}

#[test]
fn by_its_id_it_goes_on_with_what_was_sent_whatever_lies_here_now() {
    let (node, project) = (Node::start(), project(60));
    let run = interrupted(&node, &project);
    project.file("helping.py", "def half(n):\n    return -1\n");
    // Who names the program means the one that lies here.
    let refused = node.dspex(&["eval", "program.py:program", "--resume", &run]).directory(project.directory()).run();
    refused.expect(2).says("SOURCES_CHANGED").says("dspex run resume");
    let elsewhere = tempfile::tempdir().expect("a directory");
    let resumed =
        node.dspex(&["run", "resume", &run, "-o", "json"]).directory(elsewhere.path()).run().expect(0).object();
    assert_eq!((&resumed["score"], &resumed["failed"]), (&json!(100.0), &json!(0)), "{resumed}");
}

#[test]
fn with_the_program_named_and_unchanged_it_goes_on() {
    let (node, project) = (Node::start(), project(60));
    let run = interrupted(&node, &project);
    let words = ["eval", "program.py:program", "--resume", &run, "-o", "json"];
    let resumed = node.dspex(&words).directory(project.directory()).run().expect(0).object();
    assert_eq!(resumed["score"], json!(100.0));
}

#[test]
fn another_node_of_the_cluster_takes_it_with_its_project_and_an_environment_of_its_own() {
    let cluster = dspex_tests::Cluster::of(3);
    let project = project(60);
    let eval = cluster
        .dspex(0, &crate::subject::EVAL)
        .args(["--env", "PAUSE=0.1", "--num-threads", "2"])
        .directory(project.directory())
        .start();
    let run = dspex_tests::wait_until("results are recorded", std::time::Duration::from_secs(120), || {
        let runs = cluster.ask(0, async |client| client.list_runs(Default::default()).await).ok()?.items;
        runs.into_iter().next().filter(|run| run.done >= 3)
    });
    eval.interrupt();
    eval.finish().expect(130);
    let elsewhere = tempfile::tempdir().expect("a directory");
    let words = ["run", "resume", &run.run_id, "-o", "json"];
    let resumed = cluster.dspex(1, &words).directory(elsewhere.path()).run().expect(0).object();
    assert_eq!((&resumed["score"], &resumed["failed"]), (&json!(100.0), &json!(0)), "{resumed}");
}
