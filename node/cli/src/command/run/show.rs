//! `dspex run show`.

use clap::Args;

use crate::dates::with_dates;
use crate::error::CommandError;
use crate::exit;
use crate::invocation::Invocation;
use crate::listing::{self, Listing};
use crate::output::{self, Format};
use crate::result::{self, Failures};
use crate::run_id;

/// The arguments of `dspex run show`.
#[derive(Debug, Args)]
pub struct Options {
    /// The run's id, or its beginning
    run: String,
}

/// Prints the run; a table ends with the failures in groups.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    let client = invocation.node().await?;
    let id = run_id::resolve(&client, &options.run).await?;
    let run = client.run(&id).await?;
    let value = result::run(&run);
    match invocation.format {
        Format::Table => {
            let failures = match run.failed {
                0 => String::new(),
                _ => Failures::of(&client, &id).await?.text(),
            };
            output::text(&format!("{}{failures}", listing::pairs(&with_dates(value))))?;
        }
        Format::Json | Format::Jsonl => output::json(&value)?,
        Format::Csv => Listing::of_objects(vec![value]).print(Format::Csv)?,
    }
    Ok(exit::OK)
}
