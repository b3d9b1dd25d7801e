//! `dspex demo`: a person sees a run on three nodes survive kill -9. It uses the real thing, as child processes of this
//! program in a directory of their own, and leaves nothing behind.

mod evaluation;
mod household;
mod losses;
mod participants;
mod settings;
mod story;

use clap::Args;
use dspex_api::reason;

use crate::arguments::identifier;
use crate::dev::signals::Signals;
use crate::error::CommandError;
use crate::exit;
use crate::interpreter;
use crate::invocation::Invocation;
use household::{End, Household};

/// The arguments of `dspex demo`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  dspex demo\n\nIt starts three nodes on free ports of 127.0.0.1, with certificates of their own, in a temporary directory. They evaluate a bundled\nprogram on the UCI digits with an offline model: no key, no network. Then they do so again, and lose a worker and the node that owns\nthe run. Score and digest are compared: exit code 1 if they differ. It takes less than a minute; Ctrl-C ends it, and nothing stays."
)]
pub struct Options {
    /// The interpreter, which needs dspy [default: as for dspex eval]
    #[arg(long, value_name = "PATH", value_parser = identifier)]
    python: Option<String>,
}

/// Tells the story; whatever happens, the nodes are ended and the directory removed.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    let interpreter = interpreter::of_this_process(options.python.as_deref(), evaluation::PROGRAM)?;
    let mut signals = Signals::listen()?;
    let mut household = Household::new(interpreter.path)?;
    let told = tokio::select! {
        told = story::tell(invocation, &mut household) => told,
        () = signals.told_to_end() => Err(CommandError::new(exit::INTERRUPTED, "interrupted")),
        () = invocation.out_of_time() => {
            Err(CommandError::because(reason::NODE_TIMED_OUT, "--command-timeout is over"))
        }
    };
    let end = if told.is_ok() { End::InOrder } else { End::AtOnce };
    let left = tokio::select! {
        left = household.leave_nothing_behind(end) => left,
        // Once more: nobody is waited for.
        () = signals.told_to_end() => household.leave_nothing_behind(End::ByForce).await,
    };
    told?;
    left?;
    invocation.console.note("the nodes have ended and their directory is removed");
    Ok(exit::OK)
}
