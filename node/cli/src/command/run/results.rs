//! `dspex run results`.

use clap::Args;

use crate::arguments::identifier;
use crate::error::CommandError;
use crate::exit;
use crate::invocation::Invocation;
use crate::result::{self, Selection, Target};
use crate::run_id;

/// The arguments of `dspex run results`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dspex run results 01a1fda7-bbcf --failed\n  dspex run results 01a1fda7-bbcf -o jsonl | jq -r .prediction.answer\n  dspex run results 01a1fda7-bbcf --save results.parquet\n\nTables and JSON lists stop at 100 results unless --all; jsonl and csv are complete. csv and --save hold DSPy's rows:\nthe example's fields, the prediction's (example_NAME and pred_NAME where both have NAME), the score under the metric's name."
)]
pub struct Options {
    /// The run's id, or its beginning
    #[arg(value_parser = identifier)]
    run: String,
    /// Failed examples only
    #[arg(long)]
    failed: bool,
    /// Without the cap of 100
    #[arg(long)]
    all: bool,
    /// Write all results to a file instead: .json, .jsonl, .csv or .parquet
    #[arg(long, value_name = "FILE", conflicts_with = "failed", value_parser = identifier)]
    save: Option<String>,
}

/// Prints or saves the results that exist.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    let target = options.save.as_deref().map(Target::parse).transpose()?;
    let client = invocation.node().await?;
    let id = run_id::resolve(&client, &options.run).await?;
    let run = client.run(&id).await?;
    match target {
        Some(target) => {
            let rows = result::save(&client, &run, &target).await?;
            invocation.console.note(&format!("{rows} results are in {}", target.path().display()));
        }
        None => {
            let selection = Selection { failed_only: options.failed, all: options.all };
            result::print_results(&client, &run, selection, invocation.format, &invocation.console).await?;
        }
    }
    if run.done < run.examples {
        invocation.console.note(&format!("{} of {} examples have a result so far", run.done, run.examples));
    }
    Ok(exit::OK)
}
