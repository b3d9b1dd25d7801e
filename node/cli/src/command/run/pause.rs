//! `dspex run pause`.

use clap::Args;
use dspex_api::v1::PauseRunRequest;

use crate::arguments::identifier;
use crate::error::CommandError;
use crate::follow::new_request_id;
use crate::invocation::Invocation;
use crate::run_id;

/// The arguments of `dspex run pause`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dspex run pause 01a1fda7-bbcf\n  dspex run list --status paused\n  dspex run resume 01a1fda7-bbcf\n\nNothing new is given to workers. What they have comes to its end and counts, also after this command; dspex run cancel\nwould drop it. Who follows the run is told that it is paused."
)]
pub struct Options {
    /// The run's id, or its beginning
    #[arg(value_parser = identifier)]
    run: String,
}

/// Pauses the run; what is under way still counts.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    let client = invocation.node().await?;
    let id = run_id::resolve(&client, &options.run).await?;
    let request = PauseRunRequest { request_id: Some(new_request_id()), run_id: id };
    let run = client.pause(request).await?;
    super::stopped(invocation, &run, "paused", "; those under way end and count")
}
