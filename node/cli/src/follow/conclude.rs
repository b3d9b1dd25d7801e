//! What a command prints and exits with once its run has ended.

use dspex_api::v1::{Run, RunStatus};
use dspex_api::{Client, reason};
use serde_json::Value;

use super::Ending;
use crate::error::CommandError;
use crate::exit;
use crate::gate::Gate;
use crate::invocation::Invocation;
use crate::output::{self, Format};
use crate::result::{self, Failures, Selection, Target, summary};
use crate::run_commands::RunCommands;
use crate::strategy::Choice;

/// DSPy's words for a run that reached `max_errors`.
const TOO_MANY_ERRORS: &str = "Execution cancelled due to errors or interruption.";

/// How the node begins its reason for a run that it had to end because nothing could be stored.
const NOT_STORED: &str = "results could not be stored: ";
/// What the operating system says of a full disk.
const DISK_FULL: [&str; 2] = ["No space left", "quota"];

/// What is wanted of the result.
#[derive(Debug, Default)]
pub struct Wanted {
    /// `--fail-under`.
    pub gate: Option<Gate>,
    /// `--save`.
    pub target: Option<Target>,
    /// Where it is executed, where that was chosen.
    pub choice: Option<Choice>,
}

/// Prints the result, saves it, and decides the exit code.
pub async fn conclude(
    invocation: &Invocation,
    client: &Client,
    ending: Ending,
    wanted: &Wanted,
) -> Result<u8, CommandError> {
    let (run, early) = match ending {
        Ending::Ended(run) => (run, None),
        Ending::Interrupted(run) => (run, Some(exit::INTERRUPTED)),
        Ending::TimedOut(run) => (run, Some(exit::LIMIT)),
    };
    if run.status() == RunStatus::Running {
        // An onlooker left.
        invocation.console.line(&format!("run {} goes on", run.run_id));
        return Ok(early.unwrap_or(exit::OK));
    }
    let failures = match run.failed {
        0 => String::new(),
        _ => Failures::of(client, &run.run_id).await?.text(),
    };
    if let Some(target) = &wanted.target {
        save(invocation, client, &run, target).await?;
    }
    print(invocation, client, &run, wanted.choice.as_ref(), &failures).await?;
    let commands = invocation.run_commands;
    match (verdict(&run, wanted.gate, commands), early) {
        // Ctrl-C came too late: the run had finished.
        (result, Some(_)) if run.status() == RunStatus::Finished => result,
        (_, Some(code)) => {
            invocation.console.line(&format!("go on with: {}", commands.resume(&run)));
            Ok(code)
        }
        (result, None) => result,
    }
}

async fn save(invocation: &Invocation, client: &Client, run: &Run, target: &Target) -> Result<(), CommandError> {
    let path = target.path().display();
    if run.status() != RunStatus::Finished {
        invocation.console.note(&format!(
            "{path} is not written: the run has not finished ({} --save {path} writes what there is)",
            invocation.run_commands.of("results", &run.run_id)
        ));
        return Ok(());
    }
    let rows = result::save(client, run, target).await?;
    invocation.console.note(&format!("{rows} results are in {path}"));
    Ok(())
}

async fn print(
    invocation: &Invocation,
    client: &Client,
    run: &Run,
    choice: Option<&Choice>,
    failures: &str,
) -> Result<(), CommandError> {
    let all = Selection { all: true, ..Selection::default() };
    match invocation.format {
        Format::Table => output::people(&format!("{}{failures}", summary(run, invocation.run_commands)))?,
        Format::Json => {
            invocation.console.raw(failures);
            output::json(&Value::Object(result::ended(run, choice)))?;
        }
        Format::Jsonl | Format::Csv => {
            result::print_results(client, run, all, invocation.format, &invocation.console).await?;
            let shown =
                if invocation.console.is_quiet() { String::new() } else { summary(run, invocation.run_commands) };
            invocation.console.raw(&format!("{shown}{failures}"));
        }
    }
    Ok(())
}

fn verdict(run: &Run, gate: Option<Gate>, commands: RunCommands) -> Result<u8, CommandError> {
    match run.status() {
        RunStatus::Finished => gated(run, gate),
        RunStatus::Failed => {
            if !run.reason.is_empty() {
                return Err(CommandError::new(exit::FAILED, run.reason.as_str()));
            }
            let hint = format!("{} of {} examples failed; --max-errors N bears more", run.failed, run.done);
            Err(CommandError::new(exit::FAILED, TOO_MANY_ERRORS).hint(hint))
        }
        RunStatus::Cancelled => Err(cancelled(run, commands)),
        RunStatus::Paused => Err(CommandError::new(exit::FAILED, format!("run {} is paused", run.run_id))
            .hint(format!("go on with: {}", commands.resume(run)))),
        RunStatus::Interrupted | RunStatus::Running | RunStatus::Unspecified => {
            Err(CommandError::new(exit::UNREACHABLE, format!("run {} was interrupted: its node ended", run.run_id))
                .hint(format!("go on with: {}", commands.resume(run))))
        }
    }
}

fn cancelled(run: &Run, commands: RunCommands) -> CommandError {
    let why = match run.reason.as_str() {
        "" => String::new(),
        reason => format!(" ({reason})"),
    };
    let message = format!("run {} was cancelled{why}", run.run_id);
    let error = match is_disk_full(&run.reason) {
        true => CommandError::because(reason::STORAGE_FULL, message),
        false => CommandError::new(exit::FAILED, message),
    };
    error.hint(format!("go on with: {}", commands.resume(run)))
}

/// Whether these are the words of a node whose disk is full.
pub(super) fn is_disk_full(reason: &str) -> bool {
    reason.starts_with(NOT_STORED) && DISK_FULL.iter().any(|words| reason.contains(words))
}

fn gated(run: &Run, gate: Option<Gate>) -> Result<u8, CommandError> {
    let Some(gate) = gate else {
        return Ok(exit::OK);
    };
    match run.score {
        Some(score) if gate.is_met(score) => Ok(exit::OK),
        Some(score) => {
            Err(CommandError::new(exit::GATE, format!("the score {score} is below {} (--fail-under)", gate.percent)))
        }
        None => Err(CommandError::new(exit::GATE, "there is no score to compare with --fail-under")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(status: RunStatus, score: f64, gate: Option<f64>) -> u8 {
        let run = Run { status: status.into(), score: Some(score), ..Run::default() };
        match verdict(&run, gate.map(|percent| Gate { percent }), RunCommands::AsEver) {
            Ok(code) => code,
            Err(error) => error.exit,
        }
    }

    #[test]
    fn the_status_and_the_gate_decide() {
        assert_eq!(code(RunStatus::Finished, 80.0, None), exit::OK);
        assert_eq!(code(RunStatus::Finished, 80.0, Some(80.0)), exit::OK);
        assert_eq!(code(RunStatus::Finished, 79.9, Some(80.0)), exit::GATE);
        assert_eq!(code(RunStatus::Failed, 90.0, Some(80.0)), exit::FAILED);
        assert_eq!(code(RunStatus::Cancelled, 0.0, None), exit::FAILED);
        assert_eq!(code(RunStatus::Interrupted, 0.0, None), exit::UNREACHABLE);
        assert_eq!(code(RunStatus::Paused, 0.0, None), exit::FAILED);
    }

    #[test]
    fn a_run_that_a_full_disk_ended_reached_a_limit() {
        let exit = |reason: &str| {
            let run = Run { status: RunStatus::Cancelled.into(), reason: reason.to_owned(), ..Run::default() };
            verdict(&run, None, RunCommands::AsEver).expect_err("cancelled").exit
        };
        assert_eq!(
            exit("results could not be stored: IO error: No space left on device: While appending"),
            exit::LIMIT
        );
        assert_eq!(exit("results could not be stored: Disk quota exceeded (os error 122)"), exit::LIMIT);
        assert_eq!(exit("results could not be stored: Input/output error (os error 5)"), exit::FAILED);
        assert_eq!(exit("my quota"), exit::FAILED, "a person's own words");
    }

    #[test]
    fn a_failed_run_speaks_as_dspy_does() {
        let run = Run { status: RunStatus::Failed.into(), ..Run::default() };
        let error = verdict(&run, None, RunCommands::AsEver).expect_err("failed");
        assert_eq!(error.message, TOO_MANY_ERRORS);
    }

    #[test]
    fn a_run_that_stayed_here_goes_on_here() {
        for status in [RunStatus::Cancelled, RunStatus::Paused, RunStatus::Interrupted] {
            let run = Run { run_id: "r".to_owned(), status: status.into(), ..Run::default() };
            let hint = verdict(&run, None, RunCommands::Here).expect_err("not finished").hint;
            assert_eq!(hint.as_deref(), Some("go on with: dspex run --local resume r"), "{status:?}");
        }
    }
}
