//! What is chosen when nothing is said, and that the choice is printed: inputs, interpreter, environment.

use std::os::unix::fs::symlink;

use dspex_tests::{Home, Project, places, python};
use serde_json::json;

#[test]
fn inputs_come_from_the_option_the_dataset_forward_or_the_signature() {
    let program = r#"
class Named(dspy.Module):
    def forward(self, question, context="none"):
        return dspy.Prediction(given=[question, context])

class Open(dspy.Module):
    def __init__(self):
        super().__init__()
        self.ask = dspy.Predict("question, context -> answer")
    def forward(self, **fields):
        return dspy.Prediction(given=sorted(fields))

named, opened = Named(), Open()
marked = [dspy.Example(question="q", context="c", answer="a").with_inputs("question")]

def metric(example, prediction):
    return True
"#;
    let (home, project) = (Home::new(), Project::new(program));
    project.rows("data.jsonl", [json!({"question": "q", "context": "c", "answer": "a"})]);
    project.rows("short.jsonl", [json!({"question": "q", "answer": "a"})]);
    for (program, devset, option, said) in [
        ("program.py:named", "data.jsonl", None, "Inputs: question, context (from forward())"),
        ("program.py:named", "short.jsonl", None, "Inputs: question (from forward())"),
        ("program.py:opened", "data.jsonl", None, "Inputs: question, context (from the signature)"),
        ("program.py:named", "program.py:marked", None, "Inputs: question (from the dataset)"),
        ("program.py:opened", "data.jsonl", Some("answer,question"), "Inputs: answer, question (from --inputs)"),
        (
            "program.py:named",
            "program.py:marked",
            Some("question,context"),
            "Inputs: question, context (from --inputs)",
        ),
    ] {
        let options = option.into_iter().flat_map(|inputs| ["--inputs", inputs]);
        let output = home.eval(&project).program(program).devset(devset).args(options).run().expect(0);
        output.says(said);
        assert_eq!(output.object()["failed"], 0, "{}", output.describe());
    }
}

#[test]
fn the_interpreter_is_chosen_by_the_rule_and_printed() {
    let (home, project) = (Home::new(), Project::new(PLAIN));
    project.numbers(2);
    let prefix = python(&project, "import sys; print(sys.prefix)", &[]).expect(0).stdout;
    let prefix = prefix.trim_end();
    let link = |name: &str| symlink(prefix, project.path(name)).expect("a link");
    link("flagged");
    link("named");
    link("active");
    link(".venv");
    let path = |name: &str| project.path(name).join("bin/python").display().to_string();
    let eval = || home.eval(&project).without("DSPEX_PYTHON");

    let said = |choice: &str, reason: &str| format!("({choice}, from {reason})");
    eval().run().expect(0).says(&said(&path(".venv"), ".venv"));
    let active = || eval().env("VIRTUAL_ENV", project.path("active"));
    active().run().expect(0).says(&said(&path("active"), "VIRTUAL_ENV"));
    let named = || active().env("DSPEX_PYTHON", path("named"));
    named().run().expect(0).says(&said(&path("named"), "DSPEX_PYTHON"));
    let flagged = named().args(["--python", &path("flagged")]).run().expect(0);
    flagged.says(&said(&path("flagged"), "--python")).says("Python 3.").says("with dspy 3.");
}

#[test]
fn the_programs_environment_and_directory_are_the_callers() {
    let program = r#"
class Program(dspy.Module):
    def forward(self, n):
        return dspy.Prediction(own=os.environ.get("MY_SETTING"), given=os.environ.get("STORED"), where=os.getcwd(),
                               main=__name__, hash=os.environ.get("PYTHONHASHSEED"))
program = Program()
def metric(example, prediction):
    return (prediction.own, prediction.given, prediction.main, prediction.hash) == ("mine", "a=b", "program", "0")
"#;
    let (home, project) = (Home::new(), Project::new(program));
    project.numbers(4);
    let eval = home.eval(&project).env("MY_SETTING", "mine").args(["--env", "STORED=a=b", "--env", "MY_SETTING"]);
    let output = eval.run().expect(0);
    assert_eq!(output.object()["score"], 100.0, "{}", output.describe());
    let row =
        home.dspex(&["run", "results", &home.runs()[0].run_id, "-o", "jsonl"]).run().expect(0).objects().remove(0);
    let directory = project.directory().canonicalize().expect("a directory");
    assert_eq!(row["prediction"]["where"].as_str(), directory.to_str(), "{row}");

    // Named, but not set: said before anything is started.
    home.eval(&project).args(["--env", "NOT_SET_ANYWHERE"]).run().expect(2).says("NOT_SET_ANYWHERE");
}

#[test]
fn what_the_caller_hands_over_is_never_stored() {
    const SECRET: &str = "sk-7f3c9ab1e2d84655";
    let (home, project) = (Home::new(), Project::new(PLAIN));
    project.numbers(20);
    home.eval(&project)
        .env("OPENAI_API_KEY", SECRET)
        .args(["--env", "OPENAI_API_KEY", "--env", "SEEN=in-the-open-4711"])
        .run()
        .expect(0);
    home.dspex(&["local", "stop"]).run().expect(0);
    // The control: what is stored on purpose is found by the same search.
    assert!(!files_with(home.path(), "in-the-open-4711").is_empty(), "the search does not find what is there");
    assert_eq!(files_with(home.path(), SECRET), Vec::<String>::new(), "a secret was written to the home directory");
}

/// The files below a directory that hold a text.
fn files_with(directory: &std::path::Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if std::fs::read(&path).unwrap_or_default().windows(text.len()).any(|part| part == text.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn without_a_choice_the_interpreter_beside_the_program_is_taken() {
    let (home, project) = (Home::new(), Project::new(PLAIN));
    project.numbers(2);
    // The program lies in a virtual environment, as `make build` and a wheel put it.
    let prefix = python(&project, "import sys; print(sys.prefix)", &[]).expect(0).stdout;
    let bin = std::path::Path::new(prefix.trim_end()).join("bin/python");
    project.file("installed/bin/.keep", "");
    symlink(places::program(), project.path("installed/bin/dspex")).expect("a link");
    project.executable("installed/bin/python", &format!("#!/bin/sh\nexec {} \"$@\"\n", bin.display()));
    let installed = project.path("installed/bin/dspex");
    let output = home.eval_with(&installed, &project).without("DSPEX_PYTHON").run().expect(0);
    output.says(&format!("({}, from ", project.path("installed/bin/python").display())).says("beside dspex");
}

const PLAIN: &str = r#"
class Program(dspy.Module):
    def forward(self, n):
        return dspy.Prediction(n=n)
program = Program()
def metric(example, prediction):
    return True
"#;
