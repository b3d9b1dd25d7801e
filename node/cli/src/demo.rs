//! `dspex demo`: a person sees a run survive kill -9. It uses the real thing, as child processes of this program in a
//! home of its own, and leaves nothing behind.

mod evaluation;
mod household;
mod story;

use std::time::Duration;

use clap::Args;

use crate::arguments::identifier;
use crate::console::Console;
use crate::error::CommandError;
use crate::exit;
use crate::interpreter;
use crate::interrupt::Interrupts;
use crate::invocation::Invocation;
use household::Household;

/// The arguments of `dspex demo`.
#[derive(Debug, Args)]
#[command(
    after_help = "It evaluates a bundled program on the UCI digits with an offline model: no key, no network. Then it does so again, kills\na worker and the node on the way, resumes, and compares scores and digests. It takes about a minute."
)]
pub struct Options {
    /// The interpreter, which needs dspy [default: as for dspex eval]
    #[arg(long, value_name = "PATH", value_parser = identifier)]
    python: Option<String>,
}

/// Tells the story; whatever happens, the node is ended and the directory removed.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    let interpreter = interpreter::of_this_process(options.python.as_deref(), evaluation::PROGRAM)?;
    let interrupts = Interrupts::listen()?;
    let mut household = Household::new(interpreter.path)?;
    let told = tokio::select! {
        told = story::tell(invocation, &mut household) => told,
        () = interrupts.asked() => Err(CommandError::new(exit::INTERRUPTED, "interrupted")),
    };
    // A command that was stopped half-way may have left a node that is only just starting.
    let patience = match told {
        Ok(()) => Duration::ZERO,
        Err(_) => Duration::from_secs(3),
    };
    let left = household.leave_nothing_behind(patience).await;
    told?;
    report_left(&invocation.console, left)
}

fn report_left(console: &Console, left: Result<(), CommandError>) -> Result<u8, CommandError> {
    left?;
    console.note("its node has ended and its directory is removed");
    Ok(exit::OK)
}
