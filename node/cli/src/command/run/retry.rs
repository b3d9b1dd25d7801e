//! `dspex run retry`.

use clap::Args;

use super::resume::{Further, go_further};
use crate::error::CommandError;
use crate::invocation::Invocation;

/// The arguments of `dspex run retry`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dspex run results 01a1fda7-bbcf --failed     look at what failed first\n  dspex run retry 01a1fda7-bbcf --failed\n  dspex run retry 01a1fda7-bbcf --failed --detach\n\nFailed examples lose their results and are executed once more; what succeeded stays, and is not executed again. A run that\nis not complete goes on with the rest as well. The run goes on in its own directory with its own program and your present\nenvironment, as with dspex run resume. Output and exit code are those of dspex eval."
)]
pub struct Options {
    /// Execute the failed examples once more
    #[arg(long, required = true)]
    failed: bool,
    #[command(flatten)]
    further: Further,
}

/// Retries what has failed, and follows the run to its end.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    go_further(invocation, &options.further, options.failed).await
}
