//! The demo's evaluation: `dspex eval` as a child process, as a person would type it.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::{Child, Command};

use super::household::Household;
use crate::error::CommandError;
use crate::exit;

/// The bundled program.
pub const PROGRAM: &str = "dspex.samples.digits:few_shot_16";
const DEVSET: &str = "dspex.samples.digits:devset";
const METRIC: &str = "dspex.samples.digits:exact";
const LM: &str = "dspex.samples.digits:lm";

/// Of one evaluation: the slowest model takes about a minute.
pub const END_LIMIT: Duration = Duration::from_secs(600);

/// What the demo reads from the object that `-o json` ends with.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Percent, as printed.
    pub score: Value,
    /// Over all results in order.
    pub digest: String,
    /// How many.
    pub examples: u64,
    /// In seconds.
    pub duration: f64,
}

/// The command as a person would type it.
pub fn shown(resume: bool) -> String {
    let resume = if resume { " --resume" } else { "" };
    format!("dspex eval {PROGRAM} --devset {DEVSET} --metric {METRIC} --lm {LM}{resume} -o json")
}

/// Starts `dspex eval`; each answer of the offline model takes `latency_ms`.
pub fn start(household: &Household, latency_ms: u32, resume: bool) -> Result<Child, CommandError> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["eval", PROGRAM, "--devset", DEVSET, "--metric", METRIC, "--lm", LM, "-o", "json", "-q"]);
    command.arg("--python").arg(&household.interpreter);
    if resume {
        command.arg("--resume");
    }
    command
        .env("DSPEX_HOME", household.home().path())
        .env("DSPEX_DIGITS_LATENCY_MS", latency_ms.to_string())
        .env_remove("DSPEX_ADDRESS")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Whatever ends the demo early ends its children.
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| CommandError::new(exit::FAILED, format!("dspex eval did not start: {error}")))
}

/// Waits for the end of an evaluation that is expected to finish.
pub async fn outcome(child: Child) -> Result<Outcome, CommandError> {
    let output = tokio::time::timeout(END_LIMIT, child.wait_with_output())
        .await
        .map_err(|_| CommandError::new(exit::FAILED, "the evaluation does not end"))??;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let code = output.status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(exit::FAILED);
        let mut error =
            CommandError::new(code.max(exit::FAILED), format!("the evaluation ended with {}", output.status));
        error.traceback = Some(stderr.into_owned());
        return Err(error);
    }
    parse(&output.stdout)
        .ok_or_else(|| CommandError::new(exit::FAILED, "the evaluation printed no object with score and digest"))
}

fn parse(stdout: &[u8]) -> Option<Outcome> {
    let text = std::str::from_utf8(stdout).ok()?;
    let object: Value = serde_json::from_str(text.lines().last()?).ok()?;
    Some(Outcome {
        score: object["score"].is_number().then(|| object["score"].clone())?,
        digest: object["digest"].as_str()?.to_owned(),
        examples: object["examples"].as_u64()?,
        duration: object["duration_s"].as_f64()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_the_outcome() {
        let outcome =
            parse(b"{\"score\":60.5,\"digest\":\"ab\",\"examples\":200,\"duration_s\":1.5}\n").expect("complete");
        assert_eq!((outcome.score, outcome.digest.as_str()), (Value::from(60.5), "ab"));
        assert!(parse(b"{\"score\":null,\"digest\":null}").is_none() && parse(b"").is_none());
    }
}
