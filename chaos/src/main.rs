//! `dspex-chaos`: breaks a cluster, ours or an operator's, and checks what clients were promised.

mod command;

use std::process::ExitCode;

fn main() -> ExitCode {
    command::run()
}
