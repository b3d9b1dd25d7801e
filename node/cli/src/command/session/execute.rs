//! `dspex session execute`.

use std::time::Duration;

use clap::Args;
use dspex_api::v1::ExecuteSessionRequest;

use crate::arguments::identifier;
use crate::arguments::seconds;
use crate::command::calling::{self, milliseconds};
use crate::echo::shortened;
use crate::error::CommandError;
use crate::exit;
use crate::follow::new_request_id;
use crate::interrupt::Interrupts;
use crate::invocation::Invocation;
use crate::repeat::until_known;

#[derive(Debug, Args)]
pub struct Execute {
    /// Its id
    #[arg(value_parser = identifier)]
    session: String,
    /// create_program, execute_program, a command of the general pool's own modules, or any function: path.py:name, module:name
    #[arg(value_name = "COMMAND", value_parser = identifier)]
    command: String,
    /// The arguments: the fields of an object are keyword arguments, anything else is the only argument; - reads stdin
    #[arg(value_name = "JSON", allow_hyphen_values = true)]
    arguments: Option<String>,
    /// How long the call may take [default: the general pool's]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    timeout: Option<Duration>,
    /// How long it may wait for the calls before it and for a worker [default: the general pool's]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    queue_timeout: Option<Duration>,
    /// Executions after the crash of a worker or the loss of its node; 0: never again [default: the general pool's]
    #[arg(long, value_name = "N")]
    retries: Option<u32>,
    /// The Python of the embedded node's workers [default: as for dspex eval]
    #[arg(long, value_name = "PATH", value_parser = identifier)]
    python: Option<String>,
}

/// Executes and prints the result: indented for people, as it came for programs.
pub async fn execute(invocation: &Invocation, options: Execute) -> Result<u8, CommandError> {
    // Before anything is executed.
    calling::has_a_form(invocation.format)?;
    let arguments = calling::arguments(options.arguments.as_deref())?;
    let caller = calling::own(invocation, options.python.as_deref(), &options.command)?;
    let interrupts = Interrupts::listen()?;
    let client = invocation.node().await?;
    let request = ExecuteSessionRequest {
        request_id: Some(new_request_id()),
        session_id: options.session,
        command: options.command,
        arguments: arguments.into(),
        queue_timeout_ms: options.queue_timeout.map(milliseconds),
        timeout_ms: options.timeout.map(milliseconds),
        retries: options.retries,
        traceparent: std::env::var("TRACEPARENT").unwrap_or_default(),
        caller,
    };
    let look = format!("dspex session history {} shows what was written", shortened(&request.session_id));
    let execute = async || client.execute_session(request.clone(), calling::ANSWER_LIMIT).await;
    let executed = until_known(invocation.deadline, &invocation.console, &look, execute);
    let answer = tokio::select! {
        answer = executed => answer?,
        () = interrupts.asked() => return Err(CommandError::new(exit::INTERRUPTED, "interrupted; the call is given up")),
    };
    let wrote =
        answer.version.map_or_else(|| "changed nothing".to_owned(), |version| format!("wrote version {version}"));
    invocation.console.detail(&format!(
        "node {} {wrote}, after {:.1} ms in the queue and {:.1} ms of execution",
        answer.node_id,
        answer.queued_us as f64 / 1000.0,
        answer.executed_us as f64 / 1000.0
    ));
    if answer.result_lost {
        invocation
            .console
            .warning("it had been executed, and its result was too long to be kept for a repeated request");
        return Ok(exit::OK);
    }
    calling::print(&answer.result, invocation.format)?;
    Ok(exit::OK)
}
