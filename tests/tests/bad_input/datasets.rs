//! Datasets that cannot be used: with the line at fault, before anything is executed.

use dspex_tests::{Home, Project};

use crate::case::{Case, check};

const PROGRAM: &str = r#"
class Program(dspy.Module):
    def forward(self, n):
        return dspy.Prediction(n=n)
program = Program()
def metric(example, prediction):
    return 1
nothing = []
text = "text"
dicts = [{"n": 1}]
def fails():
    raise LookupError("no rows today")
unpicklable = [dspy.Example(n=sys.stdin).with_inputs("n")]
"#;

#[test]
fn a_file_that_is_not_what_its_name_says_is_refused_with_its_line() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project
        .numbers(3)
        .file("text.jsonl", "{\"n\": 1}\n{\"n\": 2}\nthree\n")
        .file("cut.jsonl", "{\"n\": 1}\n{\"n\": \n")
        .file("list.jsonl", "{\"n\": 1}\n[2]\n")
        .file("nan.jsonl", "{\"n\": 1}\n\n{\"n\": NaN}\n")
        .file("bytes.jsonl", b"{\"n\": 1}\n{\"n\": \"\xff\"}\n")
        .file("ragged.csv", "n,m\n1,2\n3\n")
        .file("wide.csv", "n,m\n1,2\n3,4,5\n")
        .file("twice.csv", "n,n\n1,2\n")
        .file("unnamed.csv", "n,\n1,2\n")
        .file("bytes.csv", b"n\n1\n\xff\n")
        .file("false.parquet", "PAR1 but no more than that")
        .file("data.json", "[{\"n\": 1}]")
        .file("data.txt", "n\n1\n")
        .file("folder.jsonl/inside", "");
    let refused = |file: &'static str, phrases: &'static [&'static str]| (file, phrases);
    for (file, phrases) in [
        refused("text.jsonl", &["text.jsonl, line 3", "not JSON", "DATASET_INVALID"]),
        refused("cut.jsonl", &["cut.jsonl, line 2", "not JSON"]),
        refused("list.jsonl", &["list.jsonl, line 2", "an object is expected", "a list"]),
        refused("nan.jsonl", &["nan.jsonl, line 3", "NaN is not JSON"]),
        refused("bytes.jsonl", &["bytes.jsonl, line 2", "not UTF-8"]),
        refused("ragged.csv", &["ragged.csv, line 3", "1 cells, but the header has 2"]),
        refused("wide.csv", &["wide.csv, line 3", "3 cells, but the header has 2"]),
        refused("twice.csv", &["twice.csv, line 1", "\"n\" twice"]),
        refused("unnamed.csv", &["unnamed.csv, line 1", "column 2"]),
        refused("bytes.csv", &["bytes.csv, line 3", "not UTF-8"]),
        refused("false.parquet", &["false.parquet", "Parquet"]),
        refused("data.json", &["data.json", ".jsonl", "one object a line"]),
        refused("data.txt", &["data.txt", ".jsonl, .csv, .parquet"]),
        refused("none.jsonl", &["there is no dataset none.jsonl", "DATASET_MISSING"]),
        refused("folder.jsonl", &["folder.jsonl", "directory"]),
    ] {
        check(&home, &project, &[Case { what: file, change: &|eval| eval.devset(file), phrases }]);
    }
}

#[test]
fn a_dataset_without_examples_or_without_an_input_is_refused() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project
        .numbers(3)
        .file("empty.jsonl", "")
        .file("blank.jsonl", "\n\n")
        .file("empty.csv", "")
        .file("header.csv", "n,m\n")
        .file("hole.jsonl", "{\"n\": 1}\n{\"n\": 2}\n{\"m\": 3}\n{\"n\": 4}\n")
        .file("other.jsonl", "{\"number\": 1}\n")
        .file("other.csv", "number\n1\n");
    let refused = |file: &'static str, phrases: &'static [&'static str]| (file, phrases);
    for (file, phrases) in [
        refused("empty.jsonl", &["at least one example", "empty.jsonl", "DATASET_EMPTY"]),
        refused("blank.jsonl", &["at least one example"]),
        refused("empty.csv", &["at least one example"]),
        refused("header.csv", &["at least one example"]),
        refused("hole.jsonl", &["hole.jsonl, line 3", "\"n\"", "missing", "INPUTS_MISSING"]),
        refused("other.jsonl", &["'n'", "'number'", "--inputs", "INPUTS_MISSING"]),
        refused("other.csv", &["'n'", "'number'", "--inputs"]),
    ] {
        check(&home, &project, &[Case { what: file, change: &|eval| eval.devset(file), phrases }]);
    }
    check(
        &home,
        &project,
        &[
            Case {
                what: "--inputs that are not there",
                change: &|eval| eval.args(["--inputs", "n,nn"]),
                phrases: &["--inputs names 'nn'", "INPUTS_MISSING"],
            },
            Case { what: "--inputs with nothing", change: &|eval| eval.args(["--inputs", ""]), phrases: &["--inputs"] },
        ],
    );
}

#[test]
fn a_python_dataset_that_is_none_is_refused() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(3);
    let refused = |name: &'static str, phrases: &'static [&'static str]| (name, phrases);
    for (name, phrases) in [
        refused("program.py:nothing", &["program.py:nothing has no examples", "DATASET_EMPTY"]),
        refused("program.py:text", &["builtins.str", "list of dspy.Example", "DATASET_INVALID"]),
        refused("program.py:dicts", &["program.py:dicts[0]", "builtins.dict", "with_inputs"]),
        refused("program.py:fails", &["LookupError", "no rows today", "in fails"]),
        refused("program.py:unpicklable", &["example 0", "cannot be pickled"]),
        refused("program.py:nowhere", &["has no 'nowhere'", "DATASET_MISSING"]),
        refused("nowhere.py:devset", &["There is no file", "DATASET_MISSING"]),
    ] {
        check(&home, &project, &[Case { what: name, change: &|eval| eval.devset(name), phrases }]);
    }
}

#[test]
fn a_row_is_executed_or_refused_however_long_it_is() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    let row = |bytes: usize| format!("{{\"n\":\"{}\"}}\n", "x".repeat(bytes - 9));
    // What fits into the limit of a row must also fit into a frame to a worker.
    for (bytes, code) in [(15 << 20, 0), (16 << 20, 0), ((16 << 20) + 2, 2), ((32 << 20) - 100, 2), (70 << 20, 2)] {
        project.file("data.jsonl", row(bytes));
        let output = home.eval(&project).limit(std::time::Duration::from_secs(60)).run();
        assert_eq!(output.code, Some(code), "{bytes} bytes\n{}", output.describe());
        if code == 2 {
            output.says("line 1").says("16 MiB");
        }
    }
}

#[test]
fn a_row_that_only_pythons_own_parser_takes_is_executed() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.file("data.jsonl", "{\"n\": \"\\ud800\"}\n{\"n\": 1e400}\n{\"n\": 1}\n");
    assert_eq!(home.eval(&project).result()["score"], 100.0);
}
