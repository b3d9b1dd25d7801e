//! Datasets of every format, and what becomes of their values.

use dspex_tests::{Home, Project, expect_fields, python};
use serde_json::json;

/// Every value is what Python would read from JSON; the metric fails with the value that is not.
const TYPED: &str = r#"
class Program(dspy.Module):
    def forward(self, **fields):
        return dspy.Prediction(**fields)

def forward(self, text, whole, number, truth, items, nothing):
    return dspy.Prediction(text=text, whole=whole, number=number, truth=truth, items=items, nothing=nothing)

Program.forward = forward
program = Program()

def metric(example, prediction):
    assert type(prediction.text) is str and prediction.text == f"é, \"{example.whole}\"\n", repr(prediction.text)
    assert type(prediction.whole) is int, repr(prediction.whole)
    assert type(prediction.number) is float and prediction.number == prediction.whole / 4, repr(prediction.number)
    assert type(prediction.truth) is bool and prediction.truth == (prediction.whole % 2 == 0), repr(prediction.truth)
    assert prediction["items"] == [prediction.whole, "x"], repr(prediction["items"])
    assert prediction.nothing is None, repr(prediction.nothing)
    return 1
"#;

#[test]
fn jsonl_and_parquet_give_python_the_values_of_the_file() {
    let (home, project) = (Home::new(), Project::new(TYPED));
    let row = |whole: u32| {
        json!({"text": format!("é, \"{whole}\"\n"), "whole": whole, "number": f64::from(whole) / 4.0,
            "truth": whole.is_multiple_of(2), "items": [whole, "x"], "nothing": null})
    };
    project.rows("data.jsonl", (0..20).map(row));
    let jsonl = home.eval(&project).result();
    expect_fields(&jsonl, json!({"score": 100.0, "failed": 0, "examples": 20}));

    // Parquet has no lists of mixed types: that column stays out of it.
    let script = r#"
import json, pyarrow, pyarrow.parquet
rows = [json.loads(line) for line in open("data.jsonl")]
for row in rows:
    row["items"] = [row["whole"]]
pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), "data.parquet")
"#;
    python(&project, script, &[]).expect(0);
    project.program(&TYPED.replace("[prediction.whole, \"x\"]", "[prediction.whole]"));
    let parquet = home.eval(&project).devset("data.parquet").result();
    expect_fields(&parquet, json!({"score": 100.0, "failed": 0}));
}

#[test]
fn long_integers_keep_every_digit() {
    let program = r#"
class Program(dspy.Module):
    def forward(self, n):
        return dspy.Prediction(n=n)
program = Program()
def metric(example, prediction):
    return prediction.n == 123456789012345678901234567890
"#;
    let (home, project) = (Home::new(), Project::new(program));
    project.file("data.jsonl", "{\"n\": 123456789012345678901234567890}\n");
    assert_eq!(home.eval(&project).result()["score"], 100.0);
}

#[test]
fn csv_cells_are_text_except_where_the_signature_types_the_field() {
    let program = r#"
class Sum(dspy.Signature):
    left: int = dspy.InputField()
    right: float = dspy.InputField()
    note: str = dspy.InputField()
    tags: list[str] = dspy.InputField()
    total: float = dspy.OutputField()

class Program(dspy.Module):
    def __init__(self):
        super().__init__()
        self.add = dspy.Predict(Sum)
    def forward(self, left, right, note, tags):
        return dspy.Prediction(total=left + right, note=note, tags=tags, left=left)

program = Program()

def metric(example, prediction):
    assert type(prediction.left) is int and type(example.right) is float
    assert prediction.note == "007", repr(prediction.note)
    assert example.free == "12", repr(example.free)
    assert prediction.tags == ["a", "b"], repr(prediction.tags)
    assert type(example.total) is float
    return abs(prediction.total - example.total) < 1e-9
"#;
    let (home, project) = (Home::new(), Project::new(program));
    let rows: String = (0..9).map(|n| format!("{n},0.5,007,\"[\"\"a\"\", \"\"b\"\"]\",{n}.5,12\r\n")).collect();
    project.file("data.csv", format!("left,right,note,tags,total,free\r\n{rows}"));
    let output = home.eval(&project).devset("data.csv").run().expect(0);
    assert_eq!(output.object()["score"], 100.0, "{}", output.describe());
    output.says("Inputs: left, right, note, tags (from forward())");

    // A cell that does not fit is that example's failure, with the column's name.
    project.file("data.csv", format!("left,right,note,tags,total,free\r\nmany,0.5,007,[],1,12\r\n{rows}"));
    let output = home.eval(&project).devset("data.csv").run().expect(0);
    output.says("'left'").says("'many'");
    assert_eq!(output.object()["failed"], 1);
}

const PYTHON_DATASETS: &str = r#"
import dataclasses, datetime

@dataclasses.dataclass
class Point:
    x: int

plain = [dspy.Example(n=n, hint="h").with_inputs("n") for n in range(8)]
unmarked = [dspy.Example(n=n) for n in range(8)]
rich = [dspy.Example(n=Point(n), when=datetime.date(2024, 1, 1 + n), seen={1, 2}).with_inputs("n") for n in range(8)]

def made():
    return [dspy.Example(n=n, hint="h").with_inputs("n") for n in range(8)]

class Program(dspy.Module):
    def forward(self, n):
        return dspy.Prediction(n=n)

program = Program()

def metric(example, prediction):
    return prediction.n == example.n and "hint" not in example.inputs()

def rich_metric(example, prediction):
    assert type(prediction.n) is Point and type(example.when) is datetime.date and example.seen == {1, 2}
    return example.when.day == prediction.n.x + 1
"#;

#[test]
fn a_dataset_may_be_a_python_list_or_function_with_any_values() {
    let (home, project) = (Home::new(), Project::new(PYTHON_DATASETS));
    project.file("elsewhere.py", "import program\nother = program.made()[:3]\n");
    let eval = |devset: &str, metric: &str| home.eval(&project).devset(devset).metric(metric).result();
    let list = eval("program.py:plain", "program.py:metric");
    expect_fields(&list, json!({"score": 100.0, "examples": 8}));
    assert_eq!(eval("program.py:made", "program.py:metric")["digest"], list["digest"]);
    assert_eq!(eval("program:plain", "program.py:metric")["digest"], list["digest"]);
    assert_eq!(eval("program.py:unmarked", "program.py:metric")["score"], 100.0);
    assert_eq!(eval("elsewhere.py:other", "program.py:metric")["examples"], 3);
    let rich = eval("program.py:rich", "program.py:rich_metric");
    expect_fields(&rich, json!({"score": 100.0, "failed": 0}));
    assert_eq!(eval("program.py:rich", "program.py:rich_metric")["digest"], rich["digest"]);
}

#[test]
fn limit_takes_the_first_examples_of_every_format() {
    let (home, project) = (Home::new(), Project::new(PYTHON_DATASETS));
    project.numbers(50).file("data.csv", "n\n1\n2\n3\n4\n5\n6\n");
    for devset in ["data.jsonl", "data.csv", "program.py:plain", "program.py:made"] {
        let result = home.eval(&project).devset(devset).args(["--limit", "5"]).result();
        assert_eq!(result["examples"], 5, "{devset}");
    }
    // What lies behind the limit is not even read.
    project.file("data.jsonl", "{\"n\": 0}\n{\"n\": 1}\nno JSON at all\n");
    assert_eq!(home.eval(&project).args(["--limit", "2"]).result()["examples"], 2);
}

#[test]
fn data_that_looks_like_a_pickle_is_only_data() {
    let program = r#"
class Program(dspy.Module):
    def forward(self, **fields):
        return dspy.Prediction(seen=fields["$pickle"])
program = Program()
def metric(example, prediction):
    return type(prediction.seen) is str
"#;
    let (home, project) = (Home::new(), Project::new(program));
    let script = r#"
import base64, json, os, pickle
class Evil:
    def __reduce__(self):
        return (os.system, ("touch opened",))
print(json.dumps({"$pickle": base64.b64encode(pickle.dumps(Evil())).decode()}))
"#;
    let row = python(&project, script, &[]).expect(0).stdout;
    project.file("data.jsonl", row);
    let result = home.eval(&project).args(["--inputs", "$pickle"]).result();
    assert_eq!(result["score"], 100.0, "{result}");
    assert!(!project.path("opened").exists(), "a row of a file was unpickled");
}
