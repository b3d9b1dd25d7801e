//! `dspex run retry --failed`: what has failed is executed once more, and nothing else.

use dspex_tests::{Home, Project};
use serde_json::{Value, json};

/// Counts its executions, and fails on every third example while there is no file `mended`.
const PROGRAM: &str = r#"
class Program(dspy.Module):
    def forward(self, n):
        count(n)
        if n % 3 == 0 and not os.path.exists("mended"):
            raise ValueError("not mended yet")
        return dspy.Prediction(n=n)

program = Program()

def metric(example, prediction):
    return 1
"#;

fn retry(home: &Home, id: &str) -> Value {
    home.dspex(&["run", "retry", id, "--failed", "-o", "json"]).run().expect(0).object()
}

fn id(result: &Value) -> &str {
    result["run_id"].as_str().expect("an id")
}

#[test]
fn failed_examples_are_executed_once_more_and_the_rest_is_kept() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(9);
    let first = home.eval(&project).result();
    assert_eq!((&first["failed"], &first["score"]), (&json!(3), &json!(66.67)));
    project.file("mended", "");
    project.forget_executions();
    let second = retry(&home, id(&first));
    assert_eq!(
        (&second["status"], &second["failed"], &second["score"]),
        (&json!("finished"), &json!(0), &json!(100.0))
    );
    let executions = project.executions();
    assert_eq!((executions.total(), executions.examples().into_iter().collect::<Vec<_>>()), (3, vec![0, 3, 6]));
    let rows = home.dspex(&["run", "results", id(&first), "-o", "jsonl"]).run().expect(0).objects();
    let attempts: Vec<u64> = rows.iter().filter_map(|row| row["attempt"].as_u64()).collect();
    assert_eq!(attempts, [2, 1, 1, 2, 1, 1, 2, 1, 1], "attempts go on counting");
    let undisturbed = home.eval(&project).result();
    assert_eq!(second["digest"], undisturbed["digest"], "as if nothing had failed");
}

#[test]
fn a_run_that_failed_for_its_errors_comes_to_its_end() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(30);
    let failed = home.eval(&project).args(["--max-errors", "3", "--num-threads", "1"]).run().expect(1).object();
    assert_eq!(failed["status"], json!("failed"));
    project.file("mended", "");
    let retried = retry(&home, id(&failed));
    assert_eq!(
        (&retried["status"], &retried["examples"], &retried["score"]),
        (&json!("finished"), &json!(30), &json!(100.0))
    );
}

#[test]
fn what_fails_again_has_failed_again() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(4);
    let first = home.eval(&project).result();
    let second = retry(&home, id(&first));
    assert_eq!((&second["failed"], &second["digest"]), (&json!(2), &first["digest"]));
}

#[test]
fn a_retry_of_nothing_says_what_to_do() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(4).file("mended", "");
    let whole = home.eval(&project).result();
    home.dspex(&["run", "retry", id(&whole), "--failed"])
        .run()
        .expect(2)
        .says("NOTHING_FAILED")
        .says("dspex run resume");
    home.dspex(&["run", "retry", id(&whole)]).run().expect(2).says("--failed");
    home.dspex(&["run", "retry", "0000", "--failed"]).run().expect(5).says("there is no run");
}
