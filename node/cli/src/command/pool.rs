//! `dspex pool`: the pools of a node, and calls of their workers.

mod call;
mod stats;

use clap::{Args, Subcommand};

use crate::error::CommandError;
use crate::invocation::Invocation;

/// The arguments of `dspex pool`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dspex pool                                               the same as dspex pool stats\n  dspex pool call general ping '\"hello\"'\n  dspex pool call general tools.py:analyze '{\"text\": \"a b c\"}'\n  dspex pool call general create_program '{\"id\": \"qa\", \"signature\": \"question -> answer\", \"lm\": \"openai/gpt-4o-mini\"}'\n  dspex pool call general execute_program '{\"program_id\": \"qa\", \"inputs\": {\"question\": \"2+2?\"}}'"
)]
pub struct Options {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show what the pools' workers do, and how the pools are
    Stats(stats::Options),
    /// Call a command on a worker of a pool, and print its result
    Call(call::Options),
}

/// Does what the verb says; the bare noun shows the statistics.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    match options.verb {
        None => stats::execute(invocation, stats::Options::default()).await,
        Some(Verb::Stats(options)) => stats::execute(invocation, options).await,
        Some(Verb::Call(options)) => call::execute(invocation, options).await,
    }
}
