//! `dspex config`: the arguments. The node knows its configuration: the program hands them there.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::output::Format;

/// The arguments of `dspex config`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  dspex config                                 what the embedded node of this home reads\n  dspex config show --config dspex.toml --origin    every key, its value, and the line or variable it comes from\n  dspex config validate dspex.toml             exit 0, or 2 and all that is wrong\n  dspex config schema > dspex.schema.json      for editors and validators\n\nAn environment variable goes before the file, and the file before the default: DSPEX_API__LISTEN is api.listen, DSPEX_DATA_DIR is data_dir."
)]
pub struct ConfigArguments {
    /// What to do; without a word: show.
    #[command(subcommand)]
    pub verb: Option<ConfigVerb>,
}

/// What `dspex config` does.
#[derive(Debug, Clone, Subcommand)]
pub enum ConfigVerb {
    /// Show every key with the value that holds
    Show {
        /// The file of a `dspex node` [default: what the embedded node of this home reads]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Also where each value comes from: a line of the file, a variable, or the default
        #[arg(long)]
        origin: bool,
    },
    /// Say whether a node would start with a file, and if not, all that is wrong
    Validate {
        /// The file of a `dspex node`
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print the JSON Schema of dspex.toml
    Schema,
}

/// What the program does with it.
#[derive(Debug, Clone)]
pub struct ConfigCommand {
    /// As given.
    pub arguments: ConfigArguments,
    /// `-o`.
    pub format: Format,
}
