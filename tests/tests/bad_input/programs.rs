//! PROGRAM, METRIC, LM and state that cannot be used. The traceback shown is the user's own.

use dspex_tests::{Home, Project};

use crate::case::{Case, check};

const PROGRAM: &str = r#"
class Program(dspy.Module):
    def forward(self, n):
        return dspy.Prediction(n=n)

class Needy(dspy.Module):
    def __init__(self, size):
        super().__init__()

class Formless(dspy.Module):
    pass

program = Program()
number = 5

def metric(example, prediction):
    return 1

def one(example):
    return 1

async def later(example, prediction):
    return 1

def make_number():
    return 5

def make_trouble():
    return {}["no such key"]
"#;

#[test]
fn a_program_that_cannot_be_found_is_named_with_what_is_there_instead() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(3);
    check(
        &home,
        &project,
        &[
            Case {
                what: "a missing file",
                change: &|eval| eval.program("progrm.py:program"),
                phrases: &["There is no file", "progrm.py", "Did you mean program.py?", "PROGRAM_MISSING"],
            },
            Case {
                what: "a missing directory",
                change: &|eval| eval.program("none/program.py:program"),
                phrases: &["There is no file", "none"],
            },
            Case {
                what: "a missing module",
                change: &|eval| eval.program("nowhere.to_be.found:program").metric("program.py:metric"),
                phrases: &["There is no module 'nowhere'"],
            },
            Case {
                what: "a name that is not there",
                change: &|eval| eval.program("program.py:progam"),
                phrases: &["has no 'progam'", "Did you mean 'program'", "NAME_MISSING"],
            },
            Case {
                what: "a number",
                change: &|eval| eval.program("program.py:number"),
                phrases: &["builtins.int", "dspy.Module", "Program", "NOT_A_PROGRAM"],
            },
            Case {
                what: "a function that returns a number",
                change: &|eval| eval.program("program.py:make_number"),
                phrases: &["builtins.int", "dspy.Module"],
            },
            Case {
                what: "a class with arguments",
                change: &|eval| eval.program("program.py:Needy"),
                phrases: &["Needy", "size", "arguments"],
            },
            Case {
                what: "a function with arguments",
                change: &|eval| eval.program("program.py:metric"),
                phrases: &["metric", "arguments"],
            },
            Case {
                what: "a Module without forward",
                change: &|eval| eval.program("program.py:Formless"),
                phrases: &["neither forward nor aforward"],
            },
            Case {
                what: "a file without a name",
                change: &|eval| eval.program("program.py"),
                phrases: &["path.py:name"],
            },
        ],
    );
}

#[test]
fn a_program_that_fails_while_it_is_imported_shows_the_users_own_traceback() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(3);
    project
        .file("raises.py", "import inner\n")
        .file("inner.py", "def divide():\n    return 1 / 0\n\ndivide()\n")
        .file("syntax.py", "import dspy\n\ndef broken(:\n")
        .file("needs.py", "import a_package_that_nobody_has\n")
        .file("exits.py", "import sys\nsys.exit(4)\n")
        .file("leaves.py", "import os\nprint('leaving', flush=True)\nos._exit(3)\n")
        .file("crashes.py", "import ctypes\nctypes.string_at(0)\n")
        .file("closes.py", "import os\nos.closerange(3, 1000)\n");
    check(
        &home,
        &project,
        &[
            Case {
                what: "an exception in a module that it imports",
                change: &|eval| eval.program("raises.py:program"),
                phrases: &["ZeroDivisionError", "inner.py\", line 2, in divide", "return 1 / 0", "PROGRAM_RAISED"],
            },
            Case {
                what: "an exception in the function that makes it",
                change: &|eval| eval.program("program.py:make_trouble"),
                phrases: &["KeyError", "no such key", "in make_trouble"],
            },
            Case {
                what: "a syntax error",
                change: &|eval| eval.program("syntax.py:program"),
                phrases: &["SyntaxError", "syntax.py\", line 3", "def broken(:"],
            },
            Case {
                what: "a package that is not installed",
                change: &|eval| eval.program("needs.py:program"),
                phrases: &["a_package_that_nobody_has", "Install it for"],
            },
            Case {
                what: "sys.exit",
                change: &|eval| eval.program("exits.py:program"),
                phrases: &["SystemExit", "__main__"],
            },
            Case {
                what: "os._exit",
                change: &|eval| eval.program("leaves.py:program"),
                phrases: &["exit code 3", "while it was imported", "leaving"],
            },
            Case {
                what: "a segmentation fault",
                change: &|eval| eval.program("crashes.py:program"),
                phrases: &["while the program was imported", "signal 11"],
            },
            Case {
                what: "the worker's socket closed",
                change: &|eval| eval.program("closes.py:program"),
                phrases: &["while"],
            },
        ],
    );
}

#[test]
fn a_file_that_works_while_it_is_imported_is_told_to_use_the_main_guard() {
    const HEAD: &str = r#"
import dspy
class Program(dspy.Module):
    def forward(self, n):
        return dspy.Prediction(n=n)
def metric(example, prediction, trace=None):
    return 1
program = Program()
devset = [dspy.Example(n=1).with_inputs("n")]
"#;
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(3);
    project
        .file("calls.py", format!("{HEAD}dspy.LM('openai/gpt-4o-mini', api_key='x')('hello')\n"))
        .file("evaluates.py", format!("{HEAD}dspy.Evaluate(devset=devset, metric=metric)(program)\n"))
        .file("batches.py", format!("{HEAD}program.batch(devset)\n"))
        .file("compiles.py", format!("{HEAD}dspy.BootstrapFewShot(metric=metric).compile(program, trainset=devset)\n"))
        .file(
            "swallows.py",
            format!(
                "{HEAD}try:\n    program.batch(devset)\nexcept Exception as e:\n    raise OSError('mine') from e\n"
            ),
        )
        .file("guarded.py", format!("{HEAD}if __name__ == '__main__':\n    1 / 0\n"));
    let at_import = |file: &'static str, what: &'static str| (file, what);
    for (file, what) in [
        at_import("calls.py", "an LM is called"),
        at_import("evaluates.py", "dspy.Evaluate is run"),
        at_import("batches.py", "is run"),
        at_import("compiles.py", "BootstrapFewShot.compile is run"),
        at_import("swallows.py", "is run"),
    ] {
        let program = format!("{file}:program");
        check(
            &home,
            &project,
            &[Case {
                what: file,
                change: &|eval| eval.program(&program).metric(&format!("{file}:metric")),
                phrases: &[what, "if __name__ == '__main__':", "EVALUATES_AT_IMPORT"],
            }],
        );
    }
    home.eval(&project).program("guarded.py:program").metric("guarded.py:metric").run().expect(0);
}

#[test]
fn a_metric_model_or_state_that_does_not_fit_is_told_before_the_run() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project
        .numbers(3)
        .file("not.json", "{")
        .file("other.json", "{\"someone\": {\"demos\": []}}")
        .file("state.txt", "{}");
    check(
        &home,
        &project,
        &[
            Case {
                what: "a metric that is not there",
                change: &|eval| eval.metric("program.py:metrik"),
                phrases: &["has no 'metrik'", "Did you mean 'metric'", "METRIC_MISSING"],
            },
            Case {
                what: "a metric that is a number",
                change: &|eval| eval.metric("program.py:number"),
                phrases: &["builtins.int", "callable", "METRIC_INVALID"],
            },
            Case {
                what: "a metric with one argument",
                change: &|eval| eval.metric("program.py:one"),
                phrases: &["one(example)", "metric(example, prediction)"],
            },
            Case { what: "an async metric", change: &|eval| eval.metric("program.py:later"), phrases: &["async"] },
            Case {
                what: "a model that is not there",
                change: &|eval| eval.args(["--lm", "program.py:modle"]),
                phrases: &["modle", "LM_MISSING"],
            },
            Case {
                what: "a model that is a number",
                change: &|eval| eval.args(["--lm", "program.py:number"]),
                phrases: &["builtins.int", "dspy.LM", "LM_INVALID"],
            },
            Case {
                what: "a state that is not there",
                change: &|eval| eval.args(["--load", "none.json"]),
                phrases: &["none.json", "STATE_MISSING"],
            },
            Case {
                what: "a state that is not JSON",
                change: &|eval| eval.args(["--load", "not.json"]),
                phrases: &["not.json", "STATE_INVALID"],
            },
            Case {
                what: "a state of no known kind",
                change: &|eval| eval.args(["--load", "state.txt"]),
                phrases: &["state.txt", ".json or .pkl"],
            },
        ],
    );
}
