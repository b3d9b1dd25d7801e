//! The demo's evaluation: `dspex eval` and `dspex run watch` as child processes, as a person would type them.

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
/// Examples under way over all nodes: enough for each to have some, whatever its CPUs.
const THREADS: &str = "12";
/// How long each answer of the offline model takes, in milliseconds.
const LATENCY: &str = "DSPEX_DIGITS_LATENCY_MS";

/// Of one evaluation: the slowest model takes some 20 s.
const END_LIMIT: Duration = Duration::from_secs(300);
/// A submission, loading the program included.
const SUBMIT_LIMIT: Duration = Duration::from_secs(120);

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

/// The command as a person would type it, in lines that fit a terminal.
pub fn shown(latency_ms: u32) -> String {
    let words = words(latency_ms);
    let (what, how) = words.split_at(4);
    let (by, how) = how.split_at(4);
    format!("dspex {} \\\n       {} \\\n       {}", what.join(" "), by.join(" "), how.join(" "))
}

/// The command that follows it at another node.
pub fn watching(run: &str) -> [&str; 3] {
    ["run", "watch", run]
}

fn words(latency_ms: u32) -> Vec<String> {
    let latency = format!("{LATENCY}={latency_ms}");
    let what = ["eval", PROGRAM, "--devset", DEVSET, "--metric", METRIC, "--lm", LM];
    let how = ["--num-threads", THREADS, "--env", &latency, "--detach"];
    what.into_iter().chain(how).map(str::to_owned).collect()
}

/// Submits the evaluation to a node, which then owns the run; the run's id.
pub async fn submit(household: &Household, asked: usize, latency_ms: u32) -> Result<String, CommandError> {
    let mut command = command(household, asked)?;
    command.args(words(latency_ms)).arg("--python").arg(&household.interpreter);
    let stdout = output(start(command)?, SUBMIT_LIMIT, "dspex eval").await?;
    run_id(&stdout).ok_or_else(|| CommandError::new(exit::FAILED, "dspex eval printed no run_id"))
}

/// Follows a run at a node, to its end.
pub fn watch(household: &Household, asked: usize, run: &str) -> Result<Child, CommandError> {
    let mut command = command(household, asked)?;
    command.args(watching(run));
    start(command)
}

/// Waits for the end of a run that is expected to finish.
pub async fn outcome(watch: Child) -> Result<Outcome, CommandError> {
    let stdout = output(watch, END_LIMIT, "dspex run watch").await?;
    parse(&stdout).ok_or_else(|| CommandError::new(exit::FAILED, "the run ended without a score and a digest"))
}

fn command(household: &Household, asked: usize) -> Result<Command, CommandError> {
    let mut command = Command::new(std::env::current_exe()?);
    for (name, value) in household.variables(asked) {
        command.env(name, value);
    }
    command.current_dir(household.project()).args(["-o", "json", "-q"]);
    Ok(command)
}

fn start(mut command: Command) -> Result<Child, CommandError> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C is for the demo, which ends its children.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| CommandError::new(exit::FAILED, format!("dspex did not start: {error}")))
}

async fn output(child: Child, limit: Duration, what: &str) -> Result<Vec<u8>, CommandError> {
    let output = tokio::time::timeout(limit, child.wait_with_output())
        .await
        .map_err(|_| CommandError::new(exit::FAILED, format!("{what} does not end within {} s", limit.as_secs())))??;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let code = output.status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(exit::FAILED);
    let mut error = CommandError::new(code.max(exit::FAILED), format!("{what} ended with {}", output.status));
    error.traceback = Some(String::from_utf8_lossy(&output.stderr).into_owned());
    Err(error)
}

fn last_object(stdout: &[u8]) -> Option<Value> {
    serde_json::from_str(std::str::from_utf8(stdout).ok()?.lines().last()?).ok()
}

fn run_id(stdout: &[u8]) -> Option<String> {
    Some(last_object(stdout)?["run_id"].as_str()?.to_owned())
}

fn parse(stdout: &[u8]) -> Option<Outcome> {
    let object = last_object(stdout)?;
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
        assert_eq!(run_id(b"{\"run_id\":\"01a\"}\n").as_deref(), Some("01a"));
        assert_eq!(run_id(b"01a\n"), None);
    }

    #[test]
    fn what_is_shown_can_be_typed() {
        use clap::Parser;

        let line = shown(250);
        assert!(line.contains("--env DSPEX_DIGITS_LATENCY_MS=250"), "{line}");
        assert!(line.lines().all(|line| line.len() <= 90), "{line}");
        let typed = line.replace("\\\n", "");
        let words = typed.split_whitespace();
        crate::arguments::Arguments::try_parse_from(words).expect("a command");
        let words = std::iter::once("dspex").chain(watching("01a1fda7"));
        crate::arguments::Arguments::try_parse_from(words).expect("a command");
    }
}
