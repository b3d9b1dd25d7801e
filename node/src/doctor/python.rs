//! Which Python a program would get, and whether it can serve: the interpreter is asked with the very check that it meets when
//! it is started for workers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use dspex_cli::interpreter;
use dspex_python::{Package, startup_environment};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::finding::Finding;
use crate::configuration::Configuration;

const CHECK: &str = "python";
const PACKAGE: &str = "package";
/// Importing dspy with a cold disk.
const LIMIT: Duration = Duration::from_secs(120);
/// An import may print; nobody reads more of it.
const OUTPUT_MAX: u64 = 1 << 20;
/// Begins the line with the answer: an import may print before it.
const ANSWER: &str = "dspex-doctor ";

/// It must parse in any Python. First the package that the user has installed, then the runtime that this program brings.
const QUESTION: &str = r#"
import json, sys
answer = {"python": "%d.%d.%d" % sys.version_info[:3]}
sys.path[:] = [entry for entry in sys.path if entry != ""]
try:
    import dspex
    answer["package"] = dspex.__version__
except ImportError:
    pass
except Exception as error:
    answer["package_error"] = "%s: %s" % (type(error).__name__, error)
for name in [name for name in sys.modules if name == "dspex" or name.startswith("dspex.")]:
    del sys.modules[name]
if sys.version_info < (3, 10):
    answer["refused"] = "%s is Python %s; DSPex needs 3.10 to 3.14" % (sys.executable, answer["python"])
else:
    sys.path.insert(0, sys.argv[1])
    from dspex.runtime import preflight
    try:
        preflight.check_python()
        preflight.check_dspy_version()
        try:
            from dspex.runtime import process, protocol
        except ImportError as error:
            raise preflight.Refusal("dependency_missing", preflight.missing_dependency(error.name or "ctypes"))
        answer["dspy"], answer["seconds"] = preflight.import_dspy()
    except preflight.Refusal as refusal:
        answer["refused"] = refusal.message
sys.stdout.write("\ndspex-doctor " + json.dumps(answer) + "\n")
sys.stdout.flush()
"#;

/// What an interpreter says of itself.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(super) struct Answer {
    python: String,
    dspy: Option<String>,
    /// To import dspy.
    seconds: Option<f64>,
    /// Why it cannot serve, and what to do.
    refused: Option<String>,
    /// The version of the package `dspex` that scripts import.
    package: Option<String>,
    package_error: Option<String>,
}

/// The interpreter that was found, and what it says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PythonFacts {
    /// Its path, and why it was taken; else why there is none, and what to do.
    pub found: Result<(PathBuf, String), (String, String)>,
    /// Environments that were named but hold no interpreter.
    pub passed_over: Vec<String>,
    /// Or why it did not answer.
    pub answer: Option<Result<Answer, String>>,
}

/// The interpreter of `--python`, else that of a node's file, else the one that `dspex eval` would take here.
pub(super) async fn gather(flag: Option<&str>, has_file: bool, of_file: Option<&Configuration>) -> PythonFacts {
    let (found, passed_over) = match of_file {
        Some(configuration) if flag.is_none() => {
            let path = configuration.interpreter();
            let advice = "set python.interpreter to one that has dspy".to_owned();
            let found = path.map(|path| (path, "python.interpreter".to_owned()));
            (found.map_err(|problem| (problem.to_string(), advice)), Vec::new())
        }
        None if has_file && flag.is_none() => {
            let why = "the file of the node cannot be read, so its interpreter is unknown";
            (Err((why.to_owned(), "mend the file first".to_owned())), Vec::new())
        }
        _ => match interpreter::of_this_process(flag, "") {
            Ok(chosen) => (Ok((chosen.path, chosen.reason)), chosen.passed_over),
            Err(error) => (Err((error.message, error.hint.unwrap_or_default())), Vec::new()),
        },
    };
    let answer = match &found {
        Ok((path, _)) => Some(ask(path).await),
        Err(_) => None,
    };
    PythonFacts { found, passed_over, answer }
}

/// What the facts say.
pub(super) fn check(facts: &PythonFacts, own_version: &str) -> Vec<Finding> {
    const OTHER: &str = "choose another with --python, DSPEX_PYTHON or python.interpreter";
    let mut findings: Vec<Finding> = facts
        .passed_over
        .iter()
        .map(|text| Finding::warning(CHECK, text, "unset the variable, or make that environment again"))
        .collect();
    let (path, reason) = match &facts.found {
        Ok(found) => found,
        Err((why, advice)) => {
            findings.push(Finding::failure(CHECK, why, advice));
            return findings;
        }
    };
    let shown = path.display();
    match &facts.answer {
        Some(Ok(Answer { refused: Some(why), .. })) => {
            findings.push(Finding::failure(CHECK, format!("{shown} ({reason}): {why}"), OTHER));
        }
        Some(Ok(answer)) => {
            let (dspy, seconds) = (answer.dspy.as_deref().unwrap_or_default(), answer.seconds.unwrap_or_default());
            let says =
                format!("{shown} ({reason}) is Python {} with dspy {dspy}, imported in {seconds:.1} s", answer.python);
            findings.push(Finding::ok(CHECK, says));
        }
        Some(Err(why)) => findings.push(Finding::failure(CHECK, format!("{shown} ({reason}) {why}"), OTHER)),
        None => {}
    }
    if let Some(Ok(answer)) = &facts.answer {
        findings.push(package(answer, path, own_version));
    }
    findings
}

/// The package is for scripts and notebooks: workers get theirs from the program.
fn package(answer: &Answer, path: &Path, own_version: &str) -> Finding {
    let shown = path.display();
    let install = format!("install it of version {own_version} for {shown}, where scripts are to import it");
    match (&answer.package, &answer.package_error) {
        (_, Some(why)) => Finding::failure(PACKAGE, format!("`import dspex` fails in {shown}: {why}"), install),
        (Some(version), None) if version == own_version => {
            Finding::ok(PACKAGE, format!("the package dspex {version} is as new as this program"))
        }
        (Some(version), None) => Finding::failure(
            PACKAGE,
            format!("the package dspex has version {version}, and this program {own_version}"),
            install,
        ),
        (None, None) => Finding::warning(
            PACKAGE,
            format!("{shown} has no package dspex: `import dspex` fails there; commands do without"),
            install,
        ),
    }
}

async fn ask(interpreter: &Path) -> Result<Answer, String> {
    let directory = tempfile::tempdir().map_err(|error| format!("cannot be asked: no temporary directory: {error}"))?;
    let package = Package::unpack(directory.path()).map_err(|error| format!("cannot be asked: {error}"))?;
    let caller: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let mut command = Command::new(interpreter);
    command
        .args(["-c", QUESTION])
        .arg(package.directory())
        // As a node starts it.
        .env_clear()
        .envs(startup_environment(&caller))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let answered = tokio::time::timeout(LIMIT, answer(command)).await;
    answered.unwrap_or_else(|_| Err(format!("does not answer within {} s", LIMIT.as_secs())))
}

async fn answer(mut command: Command) -> Result<Answer, String> {
    let mut child = command.spawn().map_err(|error| format!("cannot be started: {error}"))?;
    let (stdout, stderr) = tokio::join!(read(child.stdout.take()), read(child.stderr.take()));
    let status = child.wait().await.map_err(|error| error.to_string())?;
    answer_in(&stdout).ok_or_else(|| {
        let last = stderr.trim_end().lines().last().unwrap_or_default();
        format!("is no Python that answers: it ended with {status}. {last}").trim_end().to_owned()
    })
}

/// The first part of what a pipe brings; the writer of more waits, and is killed at the limit.
async fn read(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What was read before an error is all there is.
        let _ = pipe.take(OUTPUT_MAX).read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn answer_in(output: &str) -> Option<Answer> {
    output.lines().rev().find_map(|line| serde_json::from_str(line.strip_prefix(ANSWER)?).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::State;

    fn facts(answer: Result<Answer, String>) -> PythonFacts {
        PythonFacts {
            found: Ok(("/venv/bin/python".into(), "DSPEX_PYTHON".to_owned())),
            passed_over: Vec::new(),
            answer: Some(answer),
        }
    }

    fn good() -> Answer {
        Answer {
            python: "3.11.7".to_owned(),
            dspy: Some("3.4.1".to_owned()),
            seconds: Some(1.0),
            package: Some("0.1.0".to_owned()),
            ..Answer::default()
        }
    }

    fn states(facts: &PythonFacts) -> Vec<(&'static str, State)> {
        check(facts, "0.1.0").iter().map(|finding| (finding.check, finding.state)).collect()
    }

    #[test]
    fn an_interpreter_that_serves_is_ok_and_says_which_it_is() {
        let findings = check(&facts(Ok(good())), "0.1.0");
        assert!(findings.iter().all(|finding| finding.state == State::Ok), "{findings:?}");
        for phrase in ["/venv/bin/python", "DSPEX_PYTHON", "3.11.7", "dspy 3.4.1"] {
            assert!(findings[0].says.contains(phrase), "{phrase}: {findings:?}");
        }
    }

    #[test]
    fn one_that_cannot_serve_is_a_failure() {
        let refused = Answer { refused: Some("it has no dspy. Install ...".to_owned()), ..good() };
        assert_eq!(states(&facts(Ok(refused)))[0], (CHECK, State::Failure));
        assert_eq!(states(&facts(Err("cannot be started: Exec format error".to_owned()))), [(CHECK, State::Failure)]);
        let nowhere = PythonFacts {
            found: Err(("no Python interpreter was found".to_owned(), "activate one".to_owned())),
            passed_over: vec!["VIRTUAL_ENV names /gone".to_owned()],
            answer: None,
        };
        assert_eq!(states(&nowhere), [(CHECK, State::Warning), (CHECK, State::Failure)]);
    }

    #[test]
    fn the_package_is_as_new_as_the_program_or_not_there_at_all() {
        let with = |package: Option<&str>, error: Option<&str>| {
            let answer =
                Answer { package: package.map(str::to_owned), package_error: error.map(str::to_owned), ..good() };
            states(&facts(Ok(answer)))[1]
        };
        assert_eq!(with(Some("0.1.0"), None), (PACKAGE, State::Ok));
        assert_eq!(with(Some("0.0.9"), None), (PACKAGE, State::Failure));
        assert_eq!(with(None, None), (PACKAGE, State::Warning));
        assert_eq!(with(None, Some("SyntaxError: bad")), (PACKAGE, State::Failure));
    }

    #[test]
    fn the_answer_is_found_among_other_output() {
        let output = "a warning\ndspex-doctor {\"python\": \"3.11.7\", \"refused\": \"no dspy\"}\nbye\n";
        let answer = answer_in(output).expect("an answer");
        assert_eq!((answer.python.as_str(), answer.refused.as_deref()), ("3.11.7", Some("no dspy")));
        assert_eq!(answer_in("dspex-doctor nonsense"), None);
    }
}
