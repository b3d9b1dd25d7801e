//! `dspex local`: the embedded node of this home directory.

mod status;
mod stop;

use clap::{Args, Subcommand};
use dspex_api::Address;

use crate::error::CommandError;
use crate::invocation::Invocation;

/// The arguments of `dspex local`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dspex local                    the same as dspex local status\n  dspex local status -o json\n  dspex local stop --force       runs that execute are interrupted and can be resumed"
)]
pub struct Options {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show whether the node runs, and what it does
    Status,
    /// Stop the node
    Stop(stop::Options),
}

/// Does what the verb says; the bare noun shows the status. An address of a cluster is set aside: its nodes are not this home's.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    let invocation = match invocation.address() {
        None | Some(Address::Unix(_)) => invocation.clone(),
        Some(address) => {
            invocation.console.note(&format!("this is about the embedded node, and not about the one at {address}"));
            invocation.without_address()
        }
    };
    match options.verb {
        None | Some(Verb::Status) => status::execute(&invocation).await,
        Some(Verb::Stop(options)) => stop::execute(&invocation, options).await,
    }
}
