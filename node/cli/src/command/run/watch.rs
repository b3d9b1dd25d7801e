//! `dspex run watch`.

use clap::Args;

use crate::arguments::identifier;
use crate::error::CommandError;
use crate::follow::{Ending, Role, Wanted, conclude, follow};
use crate::interrupt::Interrupts;
use crate::invocation::Invocation;
use crate::run_id;
use dspex_api::v1::RunStatus;

/// The arguments of `dspex run watch`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dspex run watch 01a1fda7-bbcf\n  dspex --address node-2.example:7400 --ca ca.pem run watch 01a1fda7-bbcf     at a cluster any node will do\n\nCtrl-C stops watching; the run goes on. When the node is lost, another one of its cluster is asked. Output and exit code are\nthose of dspex eval."
)]
pub struct Options {
    /// The run's id, or its beginning
    #[arg(value_parser = identifier)]
    run: String,
}

/// Follows the run, or shows the result of one that has ended.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    let mut client = invocation.node().await?;
    let id = run_id::resolve(&client, &options.run).await?;
    let run = client.run(&id).await?;
    let interrupts = Interrupts::listen()?;
    let ending = match run.status() {
        RunStatus::Running => follow(invocation, &mut client, &run, Role::Onlooker, &interrupts).await?,
        _ => Ending::Ended(Box::new(run)),
    };
    interrupts.leave_at_once();
    conclude(invocation, &client, ending, &Wanted::default()).await
}
