//! What a program needs of an environment: the caller's own Python is asked, because only that has what the program was written
//! with. It reads the program and imports nothing of it: see `fingerprint.py` of the package, whose text it is given.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use dspex_api::reason;
use dspex_api::v1::{Distribution, Fingerprint};
use serde::Deserialize;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::error::CommandError;

/// It needs nothing but the standard library, so the caller's Python needs no package of DSPex.
const SCRIPT: &str = include_str!("../../../../python-runtime/python/dspex/runtime/fingerprint.py");
/// Without the directory that it is started in: a project may have a `json.py` of its own.
const BOOT: &str = "import sys\nsys.path[:] = [entry for entry in sys.path if entry]\nexec(compile(sys.argv[1], 'fingerprint', 'exec'), \
                    {'__name__': '__main__'})";
const ANSWER: &str = "dspex-fingerprint ";
const LIMIT: Duration = Duration::from_secs(120);

/// What a program needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Needs {
    /// "3.12".
    python: String,
    /// Names and versions.
    distributions: BTreeMap<String, String>,
    /// Directories that are imported from, from the root.
    pub path: Vec<String>,
    /// Files of the project that are imported, from the root.
    pub files: Vec<String>,
    /// Modules that lie neither in the project nor in the environment, with their files.
    pub outside: BTreeMap<String, String>,
}

impl Needs {
    /// For the node.
    pub fn fingerprint(&self) -> Fingerprint {
        let distribution =
            |(name, version): (&String, &String)| Distribution { name: name.clone(), version: version.clone() };
        Fingerprint {
            python: self.python.clone(),
            distributions: self.distributions.iter().map(distribution).collect(),
        }
    }

    /// Whether everything can be where it is needed: in the project, or in an environment.
    pub fn check(&self, root: &Path, interpreter: &Path) -> Result<(), CommandError> {
        if let Some((module, file)) = self.outside.iter().next() {
            let message = format!(
                "the program imports {module} from {file}, which lies neither in its project ({}) nor in an environment",
                root.display()
            );
            return Err(CommandError::because(reason::PROJECT_INVALID, message).hint(
                "move it into the project, install it as a package, or put a pyproject.toml into a directory above both: the \
                 nearest one above the program's file says what the project is",
            ));
        }
        if !self.distributions.contains_key("dspy") {
            let message = format!("{} has no dspy, so what the program needs is not known", interpreter.display());
            return Err(CommandError::because(reason::DSPY_MISSING, message).hint(
                "choose the Python of your project with --python, or one of the node's environments with --environment NAME \
                 (dspex env list)",
            ));
        }
        Ok(())
    }
}

/// Asks what these references need, which lie in the project at `root`.
pub async fn ask(
    interpreter: &Path,
    root: &Path,
    directory: &Path,
    references: &[String],
) -> Result<Needs, CommandError> {
    let request = json!({ "root": root, "directory": directory, "references": references }).to_string();
    let failed = |why: String| {
        let message = format!("{} does not say what the program needs: {why}", interpreter.display());
        CommandError::because(reason::PYTHON_UNSUPPORTED, message)
            .hint("choose another Python with --python, or one of the node's environments with --environment NAME (dspex env list)")
    };
    let mut child = Command::new(interpreter)
        .args(["-c", BOOT, SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that has ended says why below.
        let _ = stdin.write_all(request.as_bytes()).await;
    }
    let output = match tokio::time::timeout(LIMIT, child.wait_with_output()).await {
        Ok(output) => output.map_err(|error| failed(error.to_string()))?,
        Err(_) => return Err(failed(format!("no answer within {} s", LIMIT.as_secs()))),
    };
    answer_in(&String::from_utf8_lossy(&output.stdout)).ok_or_else(|| {
        let said = String::from_utf8_lossy(&output.stderr);
        failed(said.trim_end().lines().last().unwrap_or("it ended without an answer").to_owned())
    })
}

fn answer_in(output: &str) -> Option<Needs> {
    output.lines().rev().find_map(|line| serde_json::from_str(line.strip_prefix(ANSWER)?).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(outside: &[(&str, &str)], distributions: &[(&str, &str)]) -> Needs {
        let pairs = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        Needs { outside: pairs(outside), distributions: pairs(distributions), ..Needs::default() }
    }

    #[test]
    fn the_answer_is_found_among_other_output() {
        let output = "hello from sitecustomize\ndspex-fingerprint {\"python\": \"3.12\", \"distributions\": {\"dspy\": \"3.4.1\"}, \
                      \"path\": [\"src\"], \"files\": [\"qa.py\"], \"outside\": {}}\n";
        let needs = answer_in(output).expect("an answer");
        let fingerprint = needs.fingerprint();
        assert_eq!((fingerprint.python.as_str(), needs.path.len()), ("3.12", 1));
        assert_eq!(fingerprint.distributions[0].name, "dspy");
        assert_eq!(answer_in("dspex-fingerprint nonsense"), None);
    }

    #[test]
    fn what_is_nowhere_that_could_be_sent_is_named() {
        let (root, python) = (Path::new("/p"), Path::new("/venv/bin/python"));
        let error =
            needs(&[("shared", "/q/shared.py")], &[("dspy", "3.4.1")]).check(root, python).expect_err("refused");
        assert!(error.message.contains("shared from /q/shared.py") && error.message.contains("/p"), "{error}");
        let error = needs(&[], &[]).check(root, python).expect_err("refused");
        assert_eq!((error.reason, error.exit), (std::borrow::Cow::Borrowed(reason::DSPY_MISSING), 2));
        assert_eq!(needs(&[], &[("dspy", "3.4.1")]).check(root, python), Ok(()));
    }
}
