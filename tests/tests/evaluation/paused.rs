//! `dspex run pause`: what is under way ends and counts, nothing new begins, and a resume goes on.

use std::time::Duration;

use dspex_api::v1::RunStatus;
use dspex_tests::{Home, Project, holds_within};
use serde_json::json;

const PROGRAM: &str = r#"
class Program(dspy.Module):
    def forward(self, n):
        count(n)
        time.sleep(0.2)
        return dspy.Prediction(n=n)

program = Program()

def metric(example, prediction):
    return 1
"#;

const EXAMPLES: u32 = 80;

#[test]
fn nothing_that_was_begun_is_lost_or_executed_twice() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(EXAMPLES);
    let eval = home.eval(&project).args(["--num-threads", "4"]).start();
    let id = home.wait_for_results(8).run_id;
    let paused = home.dspex(&["run", "pause", &id, "-o", "json"]).run().expect(0);
    assert_eq!(paused.object()["status"], json!("paused"));
    paused.says("those under way end and count").says("dspex run resume");
    eval.finish().expect(1).says("is paused").says("dspex run resume");
    let has_ended = || home.workers().iter().all(|worker| worker.pid == 0);
    assert!(holds_within(Duration::from_secs(20), has_ended), "its workers end when they have nothing more to do");
    let executed = project.executions().total();
    assert!(executed < EXAMPLES, "most of it was not begun");
    let has_all = || home.run(&id).done == executed;
    assert!(holds_within(Duration::from_secs(10), has_all), "whatever was begun has a result: {executed}");
    assert_eq!((home.run(&id).status(), project.executions().total()), (RunStatus::Paused, executed));
    let listed = home.dspex(&["run", "list", "--status", "paused", "-o", "json"]).run().expect(0).object();
    assert_eq!(listed["items"][0]["run_id"], json!(id));
    let resumed = home.dspex(&["run", "resume", &id, "-o", "json"]).run().expect(0).object();
    assert_eq!((&resumed["status"], &resumed["score"]), (&json!("finished"), &json!(100.0)));
    assert_eq!(project.executions().total(), EXAMPLES, "each example was executed once");
}

#[test]
fn a_run_that_has_ended_is_neither_paused_nor_weighed() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(2);
    let result = home.eval(&project).result();
    let id = result["run_id"].as_str().expect("an id");
    home.dspex(&["run", "pause", id]).run().expect(2).says("the run is finished");
    home.dspex(&["run", "weight", id, "3"]).run().expect(2).says("RUN_ENDED").says("the run is finished");
    home.dspex(&["run", "weight", id, "-1"]).run().expect(2).says("a whole number from 1 to 100");
    assert_eq!(home.run(id).weight, 1);
}
