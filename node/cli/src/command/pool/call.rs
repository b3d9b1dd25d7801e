//! `dspex pool call`.

use std::io::Read;
use std::time::Duration;

use clap::Args;
use dspex_api::v1::{CallPoolRequest, Caller, OpenPoolRequest};
use dspex_api::{ApiError, reason};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::arguments::seconds;
use crate::command::eval::caller;
use crate::error::CommandError;
use crate::exit;
use crate::interpreter;
use crate::interrupt::Interrupts;
use crate::invocation::Invocation;
use crate::output::{self, Format};

/// Longer than any pool lets a call wait and run: the node says itself when it is too long.
const ANSWER_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// The arguments of `dspex pool call`.
#[derive(Debug, Args)]
pub struct Options {
    /// general, optimizer or inference
    #[arg(value_name = "CLASS")]
    class: String,
    /// ping, create_program, execute_program, a command of the pool's own modules, or any function: path.py:name, module:name
    #[arg(value_name = "COMMAND")]
    command: String,
    /// The arguments: the fields of an object are keyword arguments, anything else is the only argument; - reads stdin
    #[arg(value_name = "JSON", allow_hyphen_values = true)]
    arguments: Option<String>,
    /// How long the call may take [default: the pool's]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// How long it may wait for a worker [default: the pool's]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    queue_timeout: Option<Duration>,
    /// Executions after the crash of a worker; 0: never again [default: the pool's]
    #[arg(long, value_name = "N")]
    retries: Option<u32>,
    /// The Python of the embedded node's workers [default: as for dspex eval]
    #[arg(long, value_name = "PATH")]
    python: Option<String>,
}

/// Calls and prints the result: indented for people, as it came for programs.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    if invocation.format == Format::Csv {
        // Before anything is executed.
        return Err(CommandError::usage("a result has no columns: use -o table or -o json"));
    }
    let arguments = arguments(options.arguments.as_deref())?;
    let caller = own(invocation, &options)?;
    let interrupts = Interrupts::listen()?;
    let client = invocation.node().await?;
    let open = OpenPoolRequest { pool: options.class, caller };
    let pool_id = client.open_pool(open).await?;
    let milliseconds = |limit: Duration| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1);
    let request = CallPoolRequest {
        pool_id,
        command: options.command,
        arguments: arguments.into(),
        queue_timeout_ms: options.queue_timeout.map(milliseconds),
        timeout_ms: options.timeout.map(milliseconds),
        retries: options.retries,
        id: 0,
        traceparent: std::env::var("TRACEPARENT").unwrap_or_default(),
    };
    let answer = tokio::select! {
        answer = client.call_pool(request, ANSWER_LIMIT) => answer.map_err(with_output)?,
        () = interrupts.asked() => return Err(CommandError::new(exit::INTERRUPTED, "interrupted; the call is given up")),
    };
    invocation.console.detail(&format!(
        "{} answered after {:.1} ms in the queue and {:.1} ms of execution",
        answer.worker,
        answer.queued_us as f64 / 1000.0,
        answer.executed_us as f64 / 1000.0
    ));
    print(&answer.result, invocation.format)?;
    Ok(exit::OK)
}

/// What the embedded node's workers get of this process. A node with an environment of its own needs nothing, not even a
/// Python on this machine.
fn own(invocation: &Invocation, options: &Options) -> Result<Option<Caller>, CommandError> {
    if invocation.node_has_environment() {
        if options.python.is_some() {
            invocation
                .console
                .warning("--python plays no part: the node's workers have the interpreter of its dspex.toml");
        }
        return Ok(None);
    }
    // A file's own .venv counts, as for the PROGRAM of an evaluation.
    let interpreter = interpreter::of_this_process(options.python.as_deref(), &options.command)?;
    crate::command::eval::show_passed_over(invocation, &interpreter);
    Ok(Some(caller(Some(&interpreter), &std::env::current_dir()?)))
}

fn arguments(given: Option<&str>) -> Result<String, CommandError> {
    let text = match given {
        None => return Ok(String::new()),
        Some("-") => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            text
        }
        Some(text) => text.to_owned(),
    };
    match serde_json::from_str::<&RawValue>(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(CommandError::usage(format!("the arguments are not JSON: {error}"))
            .hint("text needs double quotes inside single ones: '\"hello\"', an object '{\"text\": \"hello\"}'")),
    }
}

/// What the worker printed last belongs to the error.
fn with_output(error: ApiError) -> CommandError {
    let output = error.get("output").map(str::to_owned).filter(|output| !output.trim().is_empty());
    let mut error = CommandError::from(error);
    if error.reason == reason::CALL_FAILED && error.hint.is_none() && error.traceback.is_none() {
        error.hint = Some("dspex pool stats shows how the pool is".to_owned());
    }
    if let Some(output) = output {
        error.message = format!("{}\nThe worker printed last:\n{}", error.message, output.trim_end());
    }
    error
}

fn print(result: &[u8], format: Format) -> Result<(), CommandError> {
    let text = String::from_utf8_lossy(result);
    match format {
        Format::Table => match serde_json::from_str::<Value>(&text) {
            Ok(Value::String(plain)) => output::text(&format!("{plain}\n")),
            Ok(value) => output::text(&format!("{value:#}\n")),
            Err(_) => output::text(&format!("{text}\n")),
        },
        Format::Json | Format::Jsonl | Format::Csv => output::text(&format!("{text}\n")),
    }
}
