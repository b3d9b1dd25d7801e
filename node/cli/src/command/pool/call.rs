//! `dspex pool call`.

use std::time::Duration;

use clap::Args;
use dspex_api::v1::{CallPoolRequest, OpenPoolRequest};

use crate::arguments::identifier;
use crate::arguments::seconds;
use crate::command::calling::{self, milliseconds};
use crate::error::CommandError;
use crate::exit;
use crate::interrupt::Interrupts;
use crate::invocation::Invocation;

/// The arguments of `dspex pool call`.
#[derive(Debug, Args)]
pub struct Options {
    /// general, optimizer or inference
    #[arg(value_name = "CLASS", value_parser = identifier)]
    class: String,
    /// ping, create_program, execute_program, a command of the pool's own modules, or any function: path.py:name, module:name
    #[arg(value_name = "COMMAND", value_parser = identifier)]
    command: String,
    /// The arguments: the fields of an object are keyword arguments, anything else is the only argument; - reads stdin
    #[arg(value_name = "JSON", allow_hyphen_values = true)]
    arguments: Option<String>,
    /// How long the call may take [default: the pool's]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    timeout: Option<Duration>,
    /// How long it may wait for a worker [default: the pool's]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    queue_timeout: Option<Duration>,
    /// Executions after the crash of a worker; 0: never again [default: the pool's]
    #[arg(long, value_name = "N")]
    retries: Option<u32>,
    /// The Python of the embedded node's workers [default: as for dspex eval]
    #[arg(long, value_name = "PATH", value_parser = identifier)]
    python: Option<String>,
}

/// Calls and prints the result: indented for people, as it came for programs.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    // Before anything is executed.
    calling::has_a_form(invocation.format)?;
    let arguments = calling::arguments(options.arguments.as_deref())?;
    let caller = calling::own(invocation, options.python.as_deref(), &options.command)?;
    let interrupts = Interrupts::listen()?;
    let client = invocation.node().await?;
    let open = OpenPoolRequest { pool: options.class, caller };
    let pool_id = client.open_pool(open).await?;
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
        answer = client.call_pool(request, calling::ANSWER_LIMIT) => answer.map_err(calling::with_output)?,
        () = interrupts.asked() => return Err(CommandError::new(exit::INTERRUPTED, "interrupted; the call is given up")),
    };
    invocation.console.detail(&format!(
        "{} answered after {:.1} ms in the queue and {:.1} ms of execution",
        answer.worker,
        answer.queued_us as f64 / 1000.0,
        answer.executed_us as f64 / 1000.0
    ));
    calling::print(&answer.result, invocation.format)?;
    Ok(exit::OK)
}
