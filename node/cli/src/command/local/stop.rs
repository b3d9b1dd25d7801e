//! `dspex local stop`.

use std::time::Duration;

use clap::Args;
use dspex_api::reason;

use crate::error::CommandError;
use crate::exit;
use crate::invocation::Invocation;
use crate::process;

/// Workers are given time to end.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// The arguments of `dspex local stop`.
#[derive(Debug, Args)]
pub struct Options {
    /// Also while runs execute: they are interrupted and can be resumed
    #[arg(long)]
    force: bool,
}

/// Returns when the process has gone. That none runs is no error: it is what was wanted.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    let Some(client) = invocation.running_node().await? else {
        invocation.console.note("no node runs");
        return Ok(exit::OK);
    };
    let pid = client.status().await?.pid;
    client.stop(options.force).await.map_err(|error| {
        let refused = error.reason == reason::RUN_RUNNING;
        let error = CommandError::from(error);
        match refused {
            true => error.hint("wait, cancel the runs, or pass --force: they can be resumed"),
            false => error,
        }
    })?;
    if !process::wait_until_gone(pid, STOP_LIMIT).await {
        return Err(CommandError::because(
            reason::NODE_TIMED_OUT,
            format!("the node (pid {pid}) has not ended within {} s", STOP_LIMIT.as_secs()),
        ));
    }
    invocation.console.note(&format!("stopped the node (pid {pid})"));
    Ok(exit::OK)
}
