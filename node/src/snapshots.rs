//! `dspex snapshot inspect` and `restore`: what is done with a snapshot's file beside any node.

mod contents;
mod inspect;
mod restore;
mod storing;

use dspex_cli::{CommandError, Console, SnapshotCommand, SnapshotWork, exit, show};

/// Does what the command says. Gives the exit code.
pub(crate) fn run(command: &SnapshotCommand) -> i32 {
    let console = Console::new(command.quiet, 0);
    let done: Result<_, CommandError> = match &command.work {
        SnapshotWork::Inspect(file) => inspect::inspect(file),
        SnapshotWork::Restore(arguments) => restore::restore(arguments, &console),
    };
    match done.and_then(|object| show(object, command.format)) {
        Ok(()) => i32::from(exit::OK),
        Err(error) => {
            console.error(&error);
            i32::from(error.exit)
        }
    }
}
