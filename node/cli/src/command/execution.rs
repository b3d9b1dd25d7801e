//! `dspex execution`: what programs and commands were given and gave.

mod list;
mod show;

use clap::{Args, Subcommand, ValueEnum};
use dspex_api::v1::{ClearExecutionsRequest, Execution, ExecutionStatus, ExecutionValue};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::confirm::confirm;
use crate::error::CommandError;
use crate::exit;
use crate::follow::new_request_id;
use crate::invocation::Invocation;
use crate::object::Object;
use crate::repeat::until_known;
use crate::verbatim::{stored, written};

/// The arguments of `dspex execution`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dspex execution                                      the same as dspex execution list\n  dspex execution list --program qa --status failed --since 1h\n  dspex execution list --session user-123 --values -o jsonl\n  dspex execution show 019a9c3e-7d52-7c11-b0c4-6f0e6d1c2b3a\n  dspex execution clear --yes                          forget all of them, with what they hold\n\nAn execution is there soon after it has ended. The last 1,000,000 are kept, for 30 days. Which calls of a pool are recorded:\n`record` in [pools.*] of dspex.toml."
)]
pub struct Options {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List executions, newest first
    List(list::Options),
    /// Show an execution with its input and output
    Show(show::Options),
    /// Forget all executions
    Clear {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// How an execution has ended.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Status {
    /// It has an output
    Succeeded,
    /// It raised
    Failed,
    /// It took too long, and was ended
    #[value(name = "timed_out", alias = "timed-out")]
    TimedOut,
    /// Its worker died
    Lost,
    /// Its caller gave it up
    Cancelled,
}

impl Status {
    fn wire(self) -> ExecutionStatus {
        match self {
            Self::Succeeded => ExecutionStatus::Succeeded,
            Self::Failed => ExecutionStatus::Failed,
            Self::TimedOut => ExecutionStatus::TimedOut,
            Self::Lost => ExecutionStatus::Lost,
            Self::Cancelled => ExecutionStatus::Cancelled,
        }
    }
}

/// Does what the verb says; the bare noun lists.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    match options.verb {
        None => list::execute(invocation, list::Options::default()).await,
        Some(Verb::List(options)) => list::execute(invocation, options).await,
        Some(Verb::Show(options)) => show::execute(invocation, options).await,
        Some(Verb::Clear { yes }) => clear(invocation, yes).await,
    }
}

async fn clear(invocation: &Invocation, yes: bool) -> Result<u8, CommandError> {
    confirm("forget all executions", "executions", yes)?;
    let client = invocation.node().await?;
    let request = ClearExecutionsRequest { request_id: Some(new_request_id()) };
    let look = "dspex execution list shows what is left, once there is a quorum";
    let clear = async || client.clear_executions(request.clone()).await;
    until_known(invocation.deadline, &invocation.console, look, clear).await?;
    Ok(exit::OK)
}

/// The name of a status, as in files; one of a newer node is not known here.
fn status_name(execution: &Execution) -> &'static str {
    match execution.status() {
        ExecutionStatus::Succeeded => "succeeded",
        ExecutionStatus::Failed => "failed",
        ExecutionStatus::TimedOut => "timed_out",
        ExecutionStatus::Lost => "lost",
        ExecutionStatus::Cancelled => "cancelled",
        ExecutionStatus::Unspecified => "unknown",
    }
}

/// As JSON, where it is not a blob.
fn value(value: &ExecutionValue) -> Box<RawValue> {
    match value.digest.as_str() {
        "" => stored(&value.json),
        digest => written(&json!({ "$blob": digest, "bytes": value.bytes })),
    }
}

fn given(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { Value::from(text) }
}

fn object(execution: &Execution, with_values: bool) -> Object {
    let mut object = Object::from(json!({
        "execution": execution.execution_id,
        "number": execution.number,
        "program": execution.program,
        "program_id": given(&execution.program_id),
        "program_version": execution.program_version,
        "session": given(&execution.session_id),
        "status": status_name(execution),
        "error": execution.error.as_ref().map(|error| json!({ "type": error.r#type, "message": error.message })),
        "duration_s": execution.duration_us as f64 / 1e6,
        "queued_s": execution.queued_us as f64 / 1e6,
        "metrics": null,
        "node_id": execution.node_id,
        "worker": given(&execution.worker),
        "actor": given(&execution.actor),
        "trace_id": given(&execution.trace_id),
        "created_unix_ms": execution.created_ms,
    }));
    if !execution.metrics.is_empty() {
        object.set("metrics", stored(&execution.metrics));
    }
    if with_values {
        for (name, shown) in [("input", &execution.input), ("output", &execution.output), ("trace", &execution.trace)] {
            object.set(name, shown.as_ref().map_or_else(|| RawValue::NULL.to_owned(), value));
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_with_their_very_digits() {
        let long = "123456789012345678901234567890";
        let given = |json: String| Some(ExecutionValue { json, ..ExecutionValue::default() });
        let execution = Execution {
            input: given(format!("{{\"n\": {long}}}")),
            output: given("1e400".to_owned()),
            metrics: format!("{{\"tokens\":{long}}}"),
            ..Execution::default()
        };
        let shown = object(&execution, true).json();
        for part in [format!(r#""input":{{"n":{long}}}"#), format!(r#""metrics":{{"tokens":{long}}}"#)] {
            assert!(shown.contains(&part), "{shown}");
        }
        assert!(shown.ends_with(r#""output":1e400,"trace":null}"#), "{shown}");
    }
}
