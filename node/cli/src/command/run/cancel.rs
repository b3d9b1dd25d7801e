//! `dspex run cancel`.

use clap::Args;
use dspex_api::v1::CancelRunRequest;

use crate::arguments::identifier;
use crate::error::CommandError;
use crate::follow::new_request_id;
use crate::invocation::Invocation;
use crate::run_id;

/// The arguments of `dspex run cancel`.
#[derive(Debug, Args)]
pub struct Options {
    /// The run's id, or its beginning
    #[arg(value_parser = identifier)]
    run: String,
}

/// Cancels the run; its results are kept.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    let client = invocation.node().await?;
    let id = run_id::resolve(&client, &options.run).await?;
    let request =
        CancelRunRequest { request_id: Some(new_request_id()), run_id: id, reason: "dspex run cancel".to_owned() };
    let run = client.cancel(request).await?;
    super::stopped(invocation, &run, "cancelled", "")
}
