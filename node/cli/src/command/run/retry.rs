//! `dspex run retry`.

use clap::Args;

use super::resume::{Target, resume};
use crate::arguments::identifier;
use crate::error::CommandError;
use crate::follow::Wanted;
use crate::invocation::Invocation;
use crate::project::Limit;
use crate::result;

/// The arguments of `dspex run retry`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dspex run results 01a1fda7-bbcf --failed     look at what failed first\n  dspex run retry 01a1fda7-bbcf --failed\n  dspex run retry 01a1fda7-bbcf --failed --detach\n\nFailed examples lose their results and are executed once more; what succeeded stays, and is not executed again. A run that\nis not complete goes on with the rest as well. The run goes on in its own directory with its own program and your present\nenvironment, as with dspex run resume. Output and exit code are those of dspex eval."
)]
pub struct Options {
    /// The run's id, or its beginning
    #[arg(value_parser = identifier)]
    run: String,
    /// Execute the failed examples once more
    #[arg(long, required = true)]
    failed: bool,
    /// The interpreter [default: DSPEX_PYTHON, else the run's]
    #[arg(long, value_name = "PATH", value_parser = identifier)]
    python: Option<String>,
    /// Save the results as DSPy does: .json, .jsonl, .csv or .parquet
    #[arg(long, value_name = "FILE", conflicts_with = "detach", value_parser = identifier)]
    save: Option<String>,
    /// Do not wait: leave it running
    #[arg(long)]
    detach: bool,
}

/// Retries what has failed, and follows the run to its end.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    let wanted =
        Wanted { target: options.save.as_deref().map(result::Target::parse).transpose()?, ..Wanted::default() };
    let target = Target {
        id: &options.run,
        failed: options.failed,
        detach: options.detach,
        python: options.python.as_deref(),
        program: None,
        state: None,
        bytes_max: Limit::default().0,
    };
    resume(invocation, target, &wanted).await
}
