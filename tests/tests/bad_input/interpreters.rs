//! A Python that cannot serve: the message says which one, what it lacks, and the command that mends it.

use std::path::PathBuf;

use dspex_tests::places::interpreter;
use dspex_tests::{Home, Project, python, skip};

use crate::case::{Case, check};

const PROGRAM: &str = r#"
class Program(dspy.Module):
    def forward(self, n):
        return dspy.Prediction(n=n)
program = Program()
def metric(example, prediction):
    return 1
"#;

/// Says that it is ready, in the words of a version to come.
const OTHER_PROTOCOL: &str = r#"
import struct, socket, msgspec
ready = {"protocol": 99, "pid": 1, "python": "3.11.7", "executable": "other", "dspy": "3.4.1", "sum_rule": "plain",
         "import_seconds": 0.1}
frame = msgspec.msgpack.encode([16, ready])
control = socket.socket(fileno=0)
control.sendall(struct.pack("<I", len(frame)) + frame)
control.recv(1)
"#;

/// An empty virtual environment, and its directory for packages.
fn environment(project: &Project, name: &str) -> (String, PathBuf) {
    let make = "import sys, venv; venv.EnvBuilder(with_pip=False, symlinks=True).create(sys.argv[1])";
    python(project, make, &[name]).expect(0);
    let script = "import sys; print(f'python{sys.version_info[0]}.{sys.version_info[1]}')";
    let version = python(project, script, &[]).expect(0).stdout;
    let packages = project.path(name).join("lib").join(version.trim()).join("site-packages");
    (project.path(name).join("bin/python").display().to_string(), packages)
}

/// A package that says to be dspy of some version.
fn fake_dspy(packages: &std::path::Path, version: &str, code: &str) {
    let metadata = packages.join(format!("dspy-{version}.dist-info"));
    std::fs::create_dir_all(&metadata).expect("a directory");
    std::fs::write(metadata.join("METADATA"), format!("Metadata-Version: 2.1\nName: dspy\nVersion: {version}\n"))
        .expect("a file");
    std::fs::create_dir_all(packages.join("dspy")).expect("a directory");
    std::fs::write(packages.join("dspy/__init__.py"), format!("__version__ = {version:?}\n{code}")).expect("a file");
}

#[test]
fn a_python_that_cannot_serve_is_named_with_what_to_do() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(3);
    let (empty, _) = environment(&project, "empty");
    let (old, packages) = environment(&project, "old");
    fake_dspy(&packages, "2.0.5", "");
    let (new, packages) = environment(&project, "new");
    fake_dspy(&packages, "9.1.0", "");
    let (bare, packages) = environment(&project, "bare");
    fake_dspy(&packages, "3.4.1", "");
    let text = project.path("data.jsonl").display().to_string();
    project.executable("other", &format!("#!{}\n{OTHER_PROTOCOL}", interpreter().display()));
    let other = project.path("other").display().to_string();
    project.executable("mute", "#!/bin/sh\nexit 7\n").executable("slow", "#!/bin/sh\nexec sleep 1000\n");
    let mute = project.path("mute").display().to_string();
    let choose = |python: &str| ["--python".to_owned(), python.to_owned()];
    check(
        &home,
        &project,
        &[
            Case {
                what: "without dspy",
                change: &|eval| eval.args(choose(&empty)),
                phrases: &[&empty, "has no dspy", "pip install", "--python", "DSPY_MISSING"],
            },
            Case {
                what: "with an old dspy",
                change: &|eval| eval.args(choose(&old)),
                phrases: &[&old, "dspy 2.0.5", ">=3.3.1,<3.5", "DSPY_UNSUPPORTED"],
            },
            Case {
                what: "with a dspy of the future",
                change: &|eval| eval.args(choose(&new)),
                phrases: &[&new, "dspy 9.1.0", "DSPY_UNSUPPORTED"],
            },
            Case {
                what: "without msgspec",
                change: &|eval| eval.args(choose(&bare)),
                phrases: &[&bare, "has no msgspec", "pip install msgspec", "DEPENDENCY_MISSING"],
            },
            Case {
                what: "a runtime of another protocol",
                change: &|eval| eval.args(choose(&other)),
                phrases: &["speaks protocol 99, this node 1", "other"],
            },
            Case { what: "a program that is no Python", change: &|eval| eval.args(choose(&mute)), phrases: &[&mute] },
            Case {
                what: "a path that is not there",
                change: &|eval| eval.args(choose("/nonexistent/python")),
                phrases: &["--python names /nonexistent/python", "PYTHON_MISSING", "hint:"],
            },
            Case {
                what: "a file that is no program",
                change: &|eval| eval.args(choose(&text)),
                phrases: &["--python names", "PYTHON_MISSING"],
            },
            Case {
                what: "DSPEX_PYTHON that is not there",
                change: &|eval| eval.env("DSPEX_PYTHON", "/nonexistent/python"),
                phrases: &["DSPEX_PYTHON names /nonexistent/python", "PYTHON_MISSING"],
            },
        ],
    );
    // The same home still serves a Python that can.
    home.eval(&project).run().expect(0);
}

#[test]
fn an_unsupported_version_of_python_is_named() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(3);
    match old_python() {
        Some(old) => {
            let output = home.eval(&project).args(["--python", &old]).run().expect(2);
            output.says("DSPex needs").says("PYTHON_UNSUPPORTED").says(&old);
        }
        None => skip("an_unsupported_version_of_python_is_named", "no Python older than 3.10 is installed"),
    }
}

/// A Python that runs and is older than 3.10: from PATH, or one of pyenv's.
fn old_python() -> Option<String> {
    let names = ["python3.9", "python3.8", "python3.7"];
    let mut directories: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    let versions = PathBuf::from(std::env::var_os("HOME")?).join(".pyenv/versions");
    directories
        .extend(std::fs::read_dir(versions).into_iter().flatten().flatten().map(|entry| entry.path().join("bin")));
    let candidates = directories.iter().flat_map(|directory| names.map(|name| directory.join(name)));
    let works = |path: &PathBuf| {
        let output = std::process::Command::new(path).args(["-c", "pass"]).output();
        output.is_ok_and(|output| output.status.success())
    };
    candidates.filter(|path| path.is_file()).find(works).map(|path| path.display().to_string())
}
