//! Runs through any node: what a node has answered it knows, and the trail names who asked.

use dspex_tests::Cluster;
use serde_json::json;

use crate::subject::{EVAL, project};

const PROGRAM: &str = r"
class Program(dspy.Module):
    def forward(self, n):
        return dspy.Prediction(double=2 * int(n))

program = Program()

def metric(example, prediction):
    return prediction.double == 2 * int(example.n)
";

#[test]
fn what_a_lost_node_has_evaluated_others_can_show_at_once() {
    let mut cluster = Cluster::of(3);
    let project = project(PROGRAM, 40);
    let evaluation = cluster.dspex(0, &EVAL).directory(project.directory()).run().expect(0).object();
    cluster.kill(0);
    let run = evaluation["run_id"].as_str().expect("an id");
    for asked in [1, 2] {
        let results = cluster.dspex(asked, &["run", "results", run, "-o", "json"]).run().expect(0).object();
        let rows = results["items"].as_array().expect("items");
        assert_eq!(rows.len(), 40);
        assert!(rows.iter().all(|row| row["prediction"]["double"].is_u64()), "{results}");
    }
}

#[test]
fn an_evaluation_through_any_node_is_known_there_and_everywhere() {
    let cluster = Cluster::of(3);
    let project = project(PROGRAM, 8);
    let mut runs = Vec::new();
    for position in [0, 1, 2, 0, 1, 2] {
        let evaluation = cluster.dspex(position, &EVAL).directory(project.directory()).run();
        let result = evaluation.expect(0).object();
        assert_eq!((&result["score"], &result["failed"]), (&json!(100.0), &json!(0)), "{result}");
        runs.push(result["run_id"].as_str().expect("an id").to_owned());
    }
    for position in 0..3 {
        let list = cluster.dspex(position, &["run", "list", "-o", "json"]).run().expect(0).object();
        assert_eq!(list["counts"]["finished"], 6, "{list}");
        for run in &runs {
            let shown = cluster.dspex(position, &["run", "show", run, "-o", "json"]).run().expect(0).object();
            assert_eq!(shown["score"], 100.0, "{shown}");
        }
    }
    // Predictions are on a majority before the log names them, and everywhere soon.
    for (position, run) in (0..3).zip(&runs) {
        for asked in 0..3 {
            let results = cluster.dspex(asked, &["run", "results", run, "-o", "json"]).run().expect(0);
            let rows = results.object()["items"].as_array().map_or(0, Vec::len);
            assert_eq!(rows, 8, "run {run} of node {position} at node {asked}: {}", results.stdout);
        }
    }
    let trail = cluster.dspex(1, &["audit", "list", "-o", "json"]).run().expect(0).object();
    let items = trail["items"].as_array().expect("items");
    let submitted: Vec<_> = items.iter().filter(|item| item["action"] == "run submit").collect();
    assert_eq!(submitted.len(), 6, "{trail}");
    assert!(submitted.iter().all(|item| item["actor"].as_str().is_some_and(|actor| !actor.is_empty())), "{trail}");
}
