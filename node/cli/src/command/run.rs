//! `dspex run`: the runs of the node.

mod cancel;
mod delete;
mod diff;
mod export;
mod list;
mod pause;
mod results;
pub mod resume;
mod retry;
mod show;
mod watch;
mod weight;

use clap::{Args, Subcommand};
use dspex_api::v1::Run;
use serde_json::Value;

use crate::error::CommandError;
use crate::exit;
use crate::invocation::Invocation;
use crate::output::{self, Format};
use crate::result;
use crate::run_commands::or_here;

/// The arguments of `dspex run`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dspex run                          the same as dspex run list\n  dspex run list --status interrupted -o json\n  dspex run show 01a1fda7-bbcf\n  dspex run results 01a1fda7-bbcf --failed\n  dspex run resume 01a1fda7-bbcf\n  dspex run --local                  those of this machine, although DSPEX_ADDRESS names a cluster\n\nA run is named by its id or by its beginning, where only one run has it. An id begins with the time of its making: runs of\nthe same minute share the first 8 characters, and 13 tell them apart to the millisecond."
)]
pub struct Options {
    /// The runs of this machine, by the embedded node, whatever the address
    #[arg(long, global = true)]
    local: bool,
    #[command(subcommand)]
    verb: Option<Verb>,
}

impl Options {
    /// Whether `--local` was given.
    pub fn is_local(&self) -> bool {
        self.local
    }

    /// Whether the command stays with a run until it has ended.
    pub fn follows(&self) -> bool {
        matches!(self.verb, Some(Verb::Resume(_) | Verb::Retry(_) | Verb::Watch(_)))
    }
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List runs, newest first
    List(list::Options),
    /// Show everything known of a run
    Show(show::Options),
    /// Follow a run until it has ended
    Watch(watch::Options),
    /// Print or save the results of a run
    Results(results::Options),
    /// Cancel a run; what is done is kept
    Cancel(cancel::Options),
    /// Pause a run: what is under way ends and counts, nothing new begins
    Pause(pause::Options),
    /// Say how much of the nodes a run is to have beside others
    Weight(weight::Options),
    /// Go on with a run that was paused, interrupted or cancelled
    Resume(resume::Options),
    /// Execute the failed examples of a run once more
    Retry(retry::Options),
    /// Compare two runs: what became better and worse, and whether chance explains it
    Diff(diff::Options),
    /// Write all results with everything known of them, as csv, jsonl or parquet
    Export(export::Options),
    /// Delete a run and its results
    Delete(delete::Options),
}

/// Does what the verb says; the bare noun lists.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    let invocation = &invocation.with_local("asks for the runs of this machine");
    done(invocation, options.verb).await.map_err(|error| or_here(invocation, error))
}

async fn done(invocation: &Invocation, verb: Option<Verb>) -> Result<u8, CommandError> {
    match verb {
        None => list::execute(invocation, list::Options::default()).await,
        Some(Verb::List(options)) => list::execute(invocation, options).await,
        Some(Verb::Show(options)) => show::execute(invocation, options).await,
        Some(Verb::Watch(options)) => watch::execute(invocation, options).await,
        Some(Verb::Results(options)) => results::execute(invocation, options).await,
        Some(Verb::Cancel(options)) => cancel::execute(invocation, options).await,
        Some(Verb::Pause(options)) => pause::execute(invocation, options).await,
        Some(Verb::Weight(options)) => weight::execute(invocation, options).await,
        Some(Verb::Resume(options)) => resume::execute(invocation, options).await,
        Some(Verb::Retry(options)) => retry::execute(invocation, options).await,
        Some(Verb::Diff(options)) => diff::execute(invocation, options).await,
        Some(Verb::Export(options)) => export::execute(invocation, options).await,
        Some(Verb::Delete(options)) => delete::execute(invocation, options).await,
    }
}

/// Prints a run that goes no further for now, and how it would. `how`: as a person says it, with what becomes of what is under way.
fn stopped(invocation: &Invocation, run: &Run, how: &str, under_way: &str) -> Result<u8, CommandError> {
    if invocation.format != Format::Table {
        output::json(&Value::Object(result::evaluation(run)))?;
    }
    invocation.console.note(&format!(
        "{how} with {} of {} examples done{under_way}; go on with: {}",
        run.done,
        run.examples,
        invocation.run_commands.resume(run)
    ));
    Ok(exit::OK)
}
