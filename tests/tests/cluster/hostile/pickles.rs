//! Pickles that execute something when they are opened. Who may only read has none opened, and data is never taken for one.

use std::path::Path;

use dspex_tests::{Cluster, Output, Project, places, python};

/// Evaluates a program that, opened from its pickle, makes a file.
const EVALUATE: &str = r#"
import os, sys

marker, os.environ["DSPEX_ADDRESS"], os.environ["DSPEX_TOKEN_FILE"], os.environ["DSPEX_PROGRAM"] = sys.argv[1:]

import dspy

import dspex


class Opened:
    def __reduce__(self):
        return exec, (f"open({marker!r}, 'w').close()",)


class Program(dspy.Module):
    def __init__(self):
        super().__init__()
        self.opened = Opened()

    def forward(self, n):
        return dspy.Prediction(n=n)


def metric(example, prediction, trace=None):
    return prediction.n == example.n


print(dspex.Evaluate(devset=[dspy.Example(n=1).with_inputs("n")], metric=metric)(Program()).score)
"#;

/// The same pickle as text, in the shape in which a driver's rows carry what has no JSON form.
const ROW: &str = r#"
import base64, json, pickle, sys


class Opened:
    def __reduce__(self):
        return exec, (f"open({sys.argv[1]!r}, 'w').close()",)


print(json.dumps({"$pickle": base64.b64encode(pickle.dumps(Opened())).decode()}))
"#;

const COMMANDS: &str = r#"
import dspex


def show(value):
    dspex.current_session().data["value"] = value
    return value
"#;

const PROGRAM: &str = r#"
class Program(dspy.Module):
    def forward(self, **fields):
        return dspy.Prediction(names=sorted(fields))

program = Program()

def metric(example, prediction):
    return True
"#;

fn token(cluster: &Cluster, project: &Project, role: &str) -> std::path::PathBuf {
    let made = cluster.dspex(0, &["token", "create", role, "--role", role]).run().expect(0);
    let file = project.path(&format!("{role}.token"));
    project.file(&format!("{role}.token"), made.stdout.trim());
    file
}

fn evaluate(cluster: &Cluster, project: &Project, marker: &Path, token: &Path) -> Output {
    let address = format!("127.0.0.1:{}", cluster.node(0).api);
    let words = [marker, Path::new(&address), token, &places::program()].map(|word| word.display().to_string());
    python(project, EVALUATE, &words.each_ref().map(String::as_str))
}

// Taken away by `needed` (node/src/server/principal.rs): with `Role::Reader` for "Put" of blobs and "Submit" of runs.
#[test]
fn a_pickle_that_a_reader_offers_is_refused_unopened() {
    let (cluster, project) = (Cluster::of(1), Project::empty());
    let marker = project.path("opened");
    let (reader, runner) = (token(&cluster, &project, "reader"), token(&cluster, &project, "runner"));
    let refused = evaluate(&cluster, &project, &marker, &reader).expect(1);
    refused.says("the token's role is reader, and this needs runner");
    assert!(!marker.exists(), "a reader's pickle was opened");
    // The control: who may execute code has it executed.
    assert_eq!(evaluate(&cluster, &project, &marker, &runner).expect(0).stdout.trim(), "100.0");
    assert!(marker.exists(), "the pickle does nothing when it is opened");
}

#[test]
fn rows_arguments_and_sessions_that_look_like_pickles_stay_data() {
    let (cluster, project) = (Cluster::of(1), Project::new(PROGRAM));
    let marker = project.path("opened");
    let row = python(&project, ROW, &[&marker.display().to_string()]).expect(0).stdout;
    project.file("data.jsonl", &row).file("commands.py", COMMANDS);
    let eval = ["eval", "program.py:program", "--devset", "data.jsonl", "--metric", "program.py:metric", "-o", "json"];
    let evaluated = cluster.dspex(0, &eval).args(["--inputs", "$pickle"]).directory(project.directory()).run();
    assert_eq!(evaluated.expect(0).object()["score"], 100.0);

    cluster.dspex(0, &["session", "create", "s"]).run().expect(0);
    let command = format!("{}:show", project.path("commands.py").display());
    let arguments = format!("{{\"value\": {}}}", row.trim());
    let told = cluster.dspex(0, &["session", "execute", "s", &command, &arguments]).run().expect(0);
    assert!(told.stdout.contains("$pickle"), "{}", told.stdout);
    cluster.dspex(0, &["session", "execute", "s", &command, "{\"value\": 1}"]).run().expect(0);
    assert!(!marker.exists(), "data was opened as a pickle");
}
