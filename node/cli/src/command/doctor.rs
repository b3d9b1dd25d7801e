//! `dspex doctor`: the arguments. What it looks at is the node's business, too: the program hands them there.

use std::path::PathBuf;

use clap::Args;

use crate::arguments::Global;
use crate::arguments::identifier;
use crate::error::CommandError;
use crate::invocation::Invocation;

/// The arguments of `dspex doctor`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  dspex doctor                           this machine, and the embedded node if it runs\n  dspex doctor --config dspex.toml       a dspex node's file, directory, ports and certificates, and the node if it runs\n  dspex --address 127.0.0.1:7400 doctor  also the node there and its cluster\n  dspex doctor -o json                   {\"items\": [{\"check\", \"state\", \"says\", \"do\"}], \"counts\"}\n\nIt starts no node and changes nothing. Exit 0 when nothing has failed, warnings included, else 1."
)]
pub struct DoctorArguments {
    /// The file of a `dspex node`
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The interpreter to look at [default: that of the file, else as for dspex eval]
    #[arg(long, value_name = "PATH", value_parser = identifier)]
    pub python: Option<String>,
}

/// What the program does with it.
#[derive(Debug)]
pub struct DoctorCommand {
    /// As given.
    pub arguments: DoctorArguments,
    /// The global options, and the node that they name.
    pub invocation: Invocation,
    /// Why that node cannot be asked; for instance, the file with the token is not there.
    pub refused: Option<CommandError>,
}

impl DoctorCommand {
    /// What cannot be done as asked is a finding, too.
    pub(crate) fn new(arguments: DoctorArguments, global: &Global) -> Self {
        match Invocation::new(global) {
            Ok(invocation) => Self { arguments, invocation, refused: None },
            Err(error) => {
                let invocation = Invocation::without_node(global);
                Self { arguments, invocation, refused: Some(error) }
            }
        }
    }
}
