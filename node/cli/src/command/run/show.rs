//! `dspex run show`.

use clap::Args;

use crate::arguments::identifier;
use crate::error::CommandError;
use crate::exit;
use crate::invocation::Invocation;
use crate::listing;
use crate::object::Object;
use crate::output::Format;
use crate::result::{self, Failures};
use crate::run_id;

/// The arguments of `dspex run show`.
#[derive(Debug, Args)]
pub struct Options {
    /// The run's id, or its beginning
    #[arg(value_parser = identifier)]
    run: String,
}

/// Prints the run; a table ends with the failures in groups.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    let client = invocation.node().await?;
    let id = run_id::resolve(&client, &options.run).await?;
    let run = client.run(&id).await?;
    let failures = match invocation.format {
        Format::Table if run.failed > 0 => Failures::of(&client, &id).await?.text(),
        _ => String::new(),
    };
    let text = |run: &Object| format!("{}{failures}", listing::pairs(run));
    listing::show_as(result::run(&run), invocation.format, text)?;
    Ok(exit::OK)
}
