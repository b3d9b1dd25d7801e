//! stdout carries data only; everything else, the program's prints above all, goes to stderr.

use dspex_tests::{Home, Project, expect_fields};
use serde_json::json;

const PROGRAM: &str = r#"
print("at import")

class Program(dspy.Module):
    def forward(self, n):
        print("printed for", n)
        print("complained about", n, file=sys.stderr)
        os.write(1, f"written by hand for {n}\n".encode())
        return dspy.Prediction(n=n)

program = Program()

def metric(example, prediction):
    return example.n % 2
"#;

const CONTRACT_KEYS: [&str; 12] = [
    "run_id",
    "kind",
    "status",
    "score",
    "examples",
    "failed",
    "metric",
    "duration_s",
    "usage",
    "cost_usd",
    "label",
    "digest",
];

#[test]
fn the_object_has_the_keys_of_the_contract_and_then_where_it_was_executed() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(10);
    let result = home.eval(&project).result();
    let keys: Vec<&str> = result.as_object().expect("an object").keys().map(String::as_str).collect();
    let (contract, choice) = keys.split_at(CONTRACT_KEYS.len());
    assert_eq!(contract, CONTRACT_KEYS);
    assert_eq!(choice, ["strategy", "strategy_reason", "strategy_detail"]);
    expect_fields(
        &result,
        json!({"kind": "evaluation", "status": "finished", "score": 50.0, "examples": 10, "failed": 0,
            "metric": "metric", "label": "complete"}),
    );
    assert!(result["duration_s"].as_f64().is_some_and(|seconds| seconds > 0.0), "{result}");
    assert!(result["usage"].is_object(), "{result}");
    let again = home.eval(&project).format("table").run().expect(0);
    assert!(again.stdout.contains("Score     50"), "{}", again.describe());
}

#[test]
fn prints_go_to_stderr_in_whole_lines() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(10);
    for format in ["json", "jsonl", "csv", "table"] {
        let output = home.eval(&project).format(format).run().expect(0);
        let lines: Vec<&str> = output.stderr.lines().collect();
        for n in 0..10 {
            for text in
                [format!("printed for {n}"), format!("complained about {n}"), format!("written by hand for {n}")]
            {
                assert!(lines.contains(&&*text), "the line {text:?} is missing\n{}", output.describe());
                assert!(!output.stdout.contains(&text), "{format} has prints on stdout\n{}", output.describe());
            }
        }
    }
}

#[test]
fn quiet_leaves_out_notes_but_not_the_programs_own_words() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(3);
    let output = home.eval(&project).args(["-q"]).run().expect(0);
    output.says("printed for 2").does_not_say("Inputs:").does_not_say("Average Metric");
    let output = home.eval(&project).run().expect(0);
    output.says("Inputs: n").says("Average Metric: 1.00 / 3 (33.3%)").says(" started");
}

#[test]
fn results_can_be_had_as_lines_and_as_csv() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(150);
    let rows = home.eval(&project).format("jsonl").run().expect(0).objects();
    assert_eq!(rows.len(), 150, "lines are complete, whatever their number");
    expect_fields(&rows[7], json!({"index": 7, "score": 1}));
    expect_fields(&rows[7], json!({"example": {"n": 7}, "prediction": {"n": 7}, "failure": null}));
    let csv = home.eval(&project).format("csv").run().expect(0).stdout;
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[8]), (151, "example_n,pred_n,metric", "7,7,1"));
}
