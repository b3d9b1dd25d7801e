//! `dspex run delete`.

use clap::Args;
use dspex_api::v1::DeleteRunRequest;

use crate::arguments::identifier;
use crate::confirm::confirm;
use crate::error::CommandError;
use crate::exit;
use crate::follow::new_request_id;
use crate::invocation::Invocation;
use crate::run_id;

/// The arguments of `dspex run delete`.
#[derive(Debug, Args)]
#[command(after_help = "Asks for the run's id to be typed; without a terminal it refuses unless --yes is given.")]
pub struct Options {
    /// The run's id, or its beginning
    #[arg(value_parser = identifier)]
    run: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Deletes the run, its results and the blobs that only it used.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    let client = invocation.node().await?;
    let id = run_id::resolve(&client, &options.run).await?;
    // A run that does not exist is said before anything is asked.
    let run = client.run(&id).await?;
    confirm(&format!("delete run {id} with {} results", run.done), &id, options.yes)?;
    let request = DeleteRunRequest { request_id: Some(new_request_id()), run_id: id.clone() };
    client.delete_run(request).await?;
    invocation.console.note(&format!("deleted run {id}"));
    Ok(exit::OK)
}
