//! `dspex run export`: every result as a row, with everything that is known of it.

use dspex_tests::{Home, Project, python};
use serde_json::json;

const PROGRAM: &str = r#"
class Program(dspy.Module):
    def forward(self, question, n):
        if n == 2:
            raise ValueError("two, \"of course\"")
        return dspy.Prediction(answer=f"{question} {n}", n=n + 1, parts=[n, "x"])

program = Program()

def metric(example, prediction):
    return example.n / 4
"#;

/// Whether all three formats say the same.
const COMPARE: &str = r#"
import csv, json
import pyarrow.parquet
lines = [json.loads(line) for line in open("out.jsonl")]
rows = list(csv.DictReader(open("out.csv", newline="")))
typed = pyarrow.parquet.read_table("out.parquet")
assert rows and list(rows[0]) == typed.column_names, (list(rows[0]), typed.column_names)
for line, row, cells in zip(lines, rows, typed.to_pylist(), strict=True):
    for name in typed.column_names:
        value = line.get(name)
        if name == "pred_parts" and value is not None:
            assert json.loads(cells[name]) == json.loads(row[name]) == value, (name, cells[name])
            continue
        assert cells[name] == value, (name, cells[name], value)
        same = float(row[name]) == value if isinstance(value, float) else row[name] == ("" if value is None else str(value))
        assert same, (name, row[name], value)
print("the same")
"#;

fn evaluated() -> (Home, Project, String) {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.rows("data.jsonl", (0..5).map(|n| json!({"question": "which, \n\"one\"?", "n": n})));
    let result = home.eval(&project).result();
    let id = result["run_id"].as_str().expect("an id").to_owned();
    (home, project, id)
}

#[test]
fn a_row_has_example_prediction_score_failure_attempt_and_duration() {
    let (home, _project, id) = evaluated();
    let rows = home.dspex(&["run", "export", &id]).run().expect(0).objects();
    let indexes: Vec<u64> = rows.iter().filter_map(|row| row["index"].as_u64()).collect();
    assert_eq!(indexes, [0, 1, 2, 3, 4], "in example order");
    let good = &rows[1];
    assert_eq!((&good["example_n"], &good["pred_n"], &good["score"]), (&json!(1), &json!(2), &json!(0.25)));
    assert_eq!((&good["failure"], &good["attempt"]), (&json!(null), &json!(1)));
    assert!(good["duration_s"].as_f64().is_some_and(|seconds| seconds > 0.0), "{good}");
    let bad = &rows[2];
    assert!(bad["failure"].as_str().is_some_and(|class| class.contains("ValueError")), "{bad}");
    assert!(bad["failure_message"].as_str().is_some_and(|text| text.contains("two, \"of course\"")), "{bad}");
    assert_eq!((&bad["example_n"], &bad["score"], bad.get("pred_n")), (&json!(2), &json!(0.0), None));
}

#[test]
fn every_format_holds_the_same() {
    let (home, project, id) = evaluated();
    for name in ["out.jsonl", "out.csv", "out.parquet"] {
        let path = project.path(name).display().to_string();
        home.dspex(&["run", "export", &id, "--to", &path]).run().expect(0).says("5 rows are in");
    }
    let output = python(&project, COMPARE, &[]);
    assert!(output.code == Some(0) && output.stdout.contains("the same"), "{}", output.describe());
    for (format, name) in [("jsonl", "out.jsonl"), ("csv", "out.csv")] {
        let printed = home.dspex(&["run", "export", &id, "--format", format]).run().expect(0);
        assert_eq!(printed.stdout, project.read(name), "stdout has what the file has");
    }
}

#[test]
fn a_file_is_never_overwritten_without_force() {
    let (home, project, id) = evaluated();
    project.file("out.csv", "mine");
    let path = project.path("out.csv").display().to_string();
    home.dspex(&["run", "export", &id, "--to", &path]).run().expect(2).says("it exists already").says("--force");
    assert_eq!(project.read("out.csv"), "mine");
    home.dspex(&["run", "export", &id, "--to", &path, "--force"]).run().expect(0);
    assert!(project.read("out.csv").starts_with("index,example_question,example_n,pred_answer,"));
    home.dspex(&["run", "export", &id, "--format", "parquet"]).run().expect(2).says("name a file: --to FILE");
}
