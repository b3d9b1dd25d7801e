//! What a Python is and what is installed for it: asked once, by a process that ends at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::environment::Environment;

/// As a zygote is started, without dspy.
const BOOT: &str = "\
import sys
sys.path[:] = [sys.argv[1]] + [entry for entry in sys.path if entry not in ('', sys.argv[1])]
from dspex.runtime.fingerprint import main
main()
";
const QUESTION: &[u8] = b"{\"facts\": true}";
const ANSWER: &str = "dspex-fingerprint ";
/// It reads a directory or two, on a machine that may have much else to do.
const LIMIT: Duration = Duration::from_secs(60);
/// Thousands of distributions.
const OUTPUT_MAX: u64 = 4 << 20;

/// What a Python says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Facts {
    /// "3.12.3".
    pub python: String,
    /// Names, normalized, and versions.
    pub distributions: BTreeMap<String, String>,
    /// Where it looks for modules: what is installed later changes one of them.
    pub paths: Vec<PathBuf>,
}

impl Facts {
    /// The minor version: "3.12".
    pub fn minor(&self) -> &str {
        self.python.rsplit_once('.').map_or(&self.python, |(minor, _)| minor)
    }
}

/// Asks an interpreter; `runtime` is where this program's package lies.
pub(crate) async fn ask(interpreter: &Path, environment: &Environment, runtime: &Path) -> Result<Facts, String> {
    let mut command = Command::new(interpreter);
    command
        .args(["-c", BOOT])
        .arg(runtime)
        .env_clear()
        .envs(environment)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C in the node's terminal is for the node.
        .process_group(0)
        .kill_on_drop(true);
    let answered = tokio::time::timeout(LIMIT, answer(command)).await;
    answered.unwrap_or_else(|_| Err(format!("it does not say within {} s what it has", LIMIT.as_secs())))
}

async fn answer(mut command: Command) -> Result<Facts, String> {
    let mut child = command.spawn().map_err(|error| format!("it cannot be started: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that has ended says why below.
        let _ = stdin.write_all(QUESTION).await;
    }
    let (stdout, stderr) = tokio::join!(read(child.stdout.take()), read(child.stderr.take()));
    let status = child.wait().await.map_err(|error| error.to_string())?;
    answer_in(&stdout).ok_or_else(|| {
        let last = stderr.trim_end().lines().last().unwrap_or_default();
        format!("it ended with {status} before it said what it has. {last}").trim_end().to_owned()
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

fn answer_in(output: &str) -> Option<Facts> {
    output.lines().rev().find_map(|line| serde_json::from_str(line.strip_prefix(ANSWER)?).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_found_among_other_output() {
        let output = "hello\ndspex-fingerprint {\"python\": \"3.12.3\", \"distributions\": {\"dspy\": \"3.4.1\"}, \"paths\": [\"/x\"]}\n";
        let facts = answer_in(output).expect("an answer");
        assert_eq!((facts.minor(), facts.distributions["dspy"].as_str()), ("3.12", "3.4.1"));
        assert_eq!(answer_in("dspex-fingerprint {}"), None);
    }

    #[tokio::test]
    async fn what_is_no_python_says_why() {
        let nothing = Environment::new();
        let absent = ask(Path::new("/nonexistent/python"), &nothing, Path::new("/")).await.expect_err("absent");
        assert!(absent.contains("cannot be started"), "{absent}");
        let other = ask(Path::new("/bin/true"), &nothing, Path::new("/")).await.expect_err("no answer");
        assert!(other.contains("before it said"), "{other}");
    }
}
