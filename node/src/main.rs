//! The program `dspex`: a client for every command but one, and the node itself. No rules live here: it puts rooms together.

mod activity;
mod configuration;
mod embedded;
mod life;
mod peers;
mod secret;
mod server;
mod service;
mod standalone;
mod start_error;

use std::process::ExitCode;

fn main() -> ExitCode {
    dspex_cli::main(|arguments| match (arguments.home, arguments.config) {
        (Some(home), _) => embedded::run(&home),
        (None, Some(file)) => standalone::run(&file),
        // The command line asks for one of the two.
        (None, None) => 2,
    })
}
