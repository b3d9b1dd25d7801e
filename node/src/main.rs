//! The program `dspex`: a client for every command but one, and the node itself. No rules live here: it puts rooms together.

mod activity;
mod embedded;
mod server;
mod service;
mod start_error;

use std::process::ExitCode;

fn main() -> ExitCode {
    dspex_cli::main(|arguments| match arguments.home {
        Some(home) => embedded::run(&home),
        None => 2,
    })
}
