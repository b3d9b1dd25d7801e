//! Every command of `dspex` but the node itself. It knows the public contract (`dspex-api`) and no other crate of the
//! workspace: whatever the CLI can do, another program can do over gRPC.

mod arguments;
mod assignment;
mod bridge;
mod ca;
mod command;
mod comparison;
mod confirm;
mod console;
mod dataset;
mod dates;
mod demo;
mod dev;
mod echo;
mod embedded;
mod entry;
mod environment;
mod error;
pub mod exit;
mod follow;
mod freshness;
mod gate;
pub mod interpreter;
mod interrupt;
mod invocation;
mod listing;
mod moment;
mod object;
mod other_nodes;
pub mod output;
mod process;
mod project;
mod reading;
mod repeat;
mod result;
mod run_commands;
mod run_id;
mod setting;
mod strategy;
pub mod token;
mod verbatim;
mod visible;

pub use arguments::{NodeArguments, WhichNode};
pub use command::cert::{CertArguments, CertCommand, CertNode, CertVerb};
pub use command::config::{ConfigArguments, ConfigCommand, ConfigVerb};
pub use command::doctor::{DoctorArguments, DoctorCommand};
pub use command::snapshot::{RestoreArguments, SnapshotCommand, SnapshotWork};
pub use console::Console;
pub use dates::date;
pub use embedded::{Home, START_ERROR_FILE, StartError};
pub use entry::{OwnCommand, main};
pub use error::CommandError;
pub use invocation::Invocation;
pub use listing::{Listing, plain, show};
pub use object::Object;
pub use output::Format;

/// The whole command line, for generated documentation.
pub fn command_line() -> clap::Command {
    use clap::CommandFactory;
    arguments::Arguments::command()
}
