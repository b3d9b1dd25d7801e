//! One file for each transition: what it reads, what it refuses, what it writes.

mod cancel_run;
mod delete_run;
mod fail_run;
mod interrupt_runs;
mod record_results;
mod resume_run;
mod submit_run;

pub(crate) use cancel_run::cancel_run;
pub(crate) use delete_run::delete_run;
pub(crate) use fail_run::fail_run;
pub(crate) use interrupt_runs::interrupt_runs;
pub(crate) use record_results::record_results;
pub(crate) use resume_run::resume_run;
pub(crate) use submit_run::submit_run;

use crate::state::Decision;
use crate::{Outcome, Rejection, Run, RunId, RunProgress, RunStatus, State};

/// Longer reasons are cut: they live in the replicated state.
const REASON_BYTES_MAX: usize = 1024;

fn rejected(rejection: Rejection) -> Decision {
    Decision::new(Outcome::Rejected(rejection))
}

fn running(state: &State, id: RunId) -> Result<&Run, Rejection> {
    let run = state.run(id).ok_or(Rejection::RunNotFound(id))?;
    match run.progress.status {
        RunStatus::Running => Ok(run),
        status => Err(Rejection::RunNotRunning(status)),
    }
}

/// The progress of a run whose stretch of execution ends now.
fn ended(state: &State, run: &Run, status: RunStatus, reason: &str) -> RunProgress {
    ended_at(state.log_time_ms(), run, status, reason)
}

fn ended_at(now_ms: u64, run: &Run, status: RunStatus, reason: &str) -> RunProgress {
    let mut progress = run.progress.clone();
    progress.executed_ms = run.executed_ms(now_ms);
    progress.status = status;
    progress.reason = cut(reason).to_owned();
    progress.ended_ms = now_ms;
    progress
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(REASON_BYTES_MAX)]
}

#[cfg(test)]
mod tests;
