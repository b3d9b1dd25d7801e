//! `--save`: the files that `save_as_json` and `save_as_csv` of DSPy write, and two formats more.

use dspex_tests::{Home, Output, Project, python};
use serde_json::{Value, json};

const PROGRAM: &str = r#"
class Program(dspy.Module):
    def forward(self, question, n):
        if n == 5:
            raise ValueError("five")
        return dspy.Prediction(answer=f"{question}, {n}", n=n + 1, parts=[n, "x"], sure=n % 2 == 0)

program = Program()

def metric(example, prediction):
    return example.n / 3
"#;

/// dspy's own files, and whether ours say the same.
const COMPARE: &str = r#"
import csv, json, logging
import dspy, program, pyarrow.parquet
logging.disable(logging.CRITICAL)
devset = [dspy.Example(json.loads(line)).with_inputs("question", "n") for line in open("data.jsonl")]
dspy.Evaluate(devset=devset, metric=program.metric, num_threads=1, save_as_json="theirs.json", save_as_csv="theirs.csv",
              provide_traceback=False)(program.program)

theirs, ours = json.load(open("theirs.json")), json.load(open("ours.json"))
assert ours == theirs, (ours[:2], theirs[:2])
assert [json.loads(line) for line in open("ours.jsonl")] == theirs

# DSPy's header is its first row's; a failed example, whose columns have other names, makes it fail or lose cells.
theirs, ours = (list(csv.DictReader(open(name, newline=""))) for name in ("theirs.csv", "ours.csv"))
assert len(ours) == len(theirs)
for our, their in zip(ours, theirs):
    for key, cell in their.items():
        if key == "parts":
            cell = json.dumps(eval(cell), separators=(",", ":")) if cell else cell
        assert our[key] == cell, (key, our, their)

rows = pyarrow.parquet.read_table("ours.parquet").to_pylist()
assert [row["pred_answer"] for row in rows] == [row["pred_answer"] for row in json.load(open("theirs.json"))]
assert [row["metric"] for row in rows] == [row["metric"] for row in json.load(open("theirs.json"))]
print("the same")
"#;

#[test]
fn saved_results_are_dspys_rows_in_every_format() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    let row = |n: u32| json!({"question": format!("\"how\" many\nof {n}"), "n": n, "answer": "none", "extra": null});
    // The failing example stays out: DSPy itself cannot write a CSV file with one in it.
    project.rows("data.jsonl", (6..26).map(row));
    for format in ["json", "jsonl", "csv", "parquet"] {
        let output = home.eval(&project).args(["--save", &format!("ours.{format}")]).run().expect(0);
        output.says("20 results are in ours.");
    }
    assert_same(&python(&project, COMPARE, &[]));
}

#[track_caller]
fn assert_same(output: &Output) {
    assert!(output.code == Some(0) && output.stdout.contains("the same"), "{}", output.describe());
}

#[test]
fn a_failed_example_is_a_row_with_dspys_empty_prediction() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.rows("data.jsonl", (4..8).map(|n| json!({"question": "q", "n": n})));
    home.eval(&project).args(["--save", "ours.json", "--failure-score", "-1"]).run().expect(0);
    let rows: Vec<Value> = serde_json::from_str(&project.read("ours.json")).expect("a list");
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[1], json!({"question": "q", "n": 5, "metric": -1.0}), "a float, as DSPy's failure_score is");
    assert_eq!(rows[0]["example_n"], 4);
    assert_eq!(rows[0]["pred_n"], 5);
}

#[test]
fn a_file_that_cannot_be_saved_is_told_before_any_work() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.rows("data.jsonl", (0..4).map(|n| json!({"question": "q", "n": n})));
    for (target, phrase) in [("results.txt", "extension"), ("none/at/all.csv", "no directory"), (".", "")] {
        home.eval(&project).args(["--save", target]).run().expect(2).says(phrase);
    }
    assert!(home.runs().is_empty());
}

#[test]
fn results_of_a_run_can_be_saved_later() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.rows("data.jsonl", (6..10).map(|n| json!({"question": "q", "n": n})));
    home.eval(&project).args(["--save", "at-once.json"]).run().expect(0);
    let id = home.runs().remove(0).run_id;
    let later = project.path("later.json").display().to_string();
    home.dspex(&["run", "results", &id, "--save", &later]).run().expect(0);
    assert_eq!(project.read("later.json"), project.read("at-once.json"));
}
