//! The program `dspex`: a client for every command but one, and the node itself. No rules live here: it puts rooms together.

mod activity;
mod certificates;
mod configuration;
mod doctor;
mod embedded;
mod life;
mod peers;
mod private_files;
mod secret;
mod server;
mod service;
mod snapshots;
mod standalone;
mod start_error;
mod workplace;

use std::process::ExitCode;

use dspex_cli::{OwnCommand, WhichNode};
use mimalloc::MiMalloc;

/// Of the CPU time of nodes that are written to the C library's allocator took about 18 %, this one takes 12 (benches/README.md).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    dspex_cli::main(|command| match command {
        OwnCommand::Cert(command) => certificates::run(&command),
        OwnCommand::Snapshot(command) => snapshots::run(&command),
        OwnCommand::Config(command) => configuration::run(&command),
        OwnCommand::Doctor(command) => doctor::run(&command),
        OwnCommand::Node(arguments) => match arguments.which {
            WhichNode { home: Some(home), .. } => embedded::run(&home),
            WhichNode { config: Some(file), .. } => standalone::run(&file),
            // The command line asks for one of the two.
            WhichNode { home: None, config: None } => 2,
        },
    })
}
