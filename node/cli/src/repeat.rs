//! A write whose outcome is not known is sent again under its request id: it is executed once, however often it arrives.

use std::time::Duration;

use dspex_api::{ApiError, reason};
use tokio::time::{Instant, sleep, timeout_at};

use crate::console::Console;
use crate::error::CommandError;

/// Without `--command-timeout`.
const LIMIT: Duration = Duration::from_secs(60);
/// Before the command's own end, so that there is time to say what is not known.
const MARGIN: Duration = Duration::from_millis(50);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// When a command that ends at `deadline` has to say what it knows.
pub fn last_moment(deadline: Instant) -> Instant {
    deadline.checked_sub(MARGIN).unwrap_or(deadline)
}

/// Sends a write, and again while nobody can say whether it was executed, until the command's end. `write` must carry the
/// same request id each time. `look` tells how to see whether it was executed.
pub async fn until_known<T>(
    deadline: Option<Instant>,
    console: &Console,
    look: &str,
    write: impl AsyncFn() -> Result<T, ApiError>,
) -> Result<T, CommandError> {
    let begun = Instant::now();
    let end = deadline.map_or(begun + LIMIT, last_moment);
    match timeout_at(end, repeated(console, write)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(refusal(error, look)),
        Err(_) => {
            let waited = begun.elapsed().as_secs_f64();
            let message =
                format!("within {waited:.1} s nobody could say whether the write was executed; it may be, even later");
            Err(CommandError::because(reason::OUTCOME_UNKNOWN, message).hint(look))
        }
    }
}

/// The same without an end, and with the node's own word where it refuses.
pub async fn repeated<T>(console: &Console, write: impl AsyncFn() -> Result<T, ApiError>) -> Result<T, ApiError> {
    let (mut pause, mut is_known) = (FIRST_PAUSE, true);
    loop {
        match write().await {
            Err(error) if error.reason == reason::OUTCOME_UNKNOWN => {
                if is_known {
                    console
                        .note("nobody knows yet whether it was executed: it is sent again under the same request id");
                }
                is_known = false;
            }
            // This attempt came to nothing; an earlier one may have been executed.
            Err(error) if !is_known && passes(&error.reason) => {}
            answer => return answer,
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn passes(reason: &str) -> bool {
    matches!(
        reason,
        reason::NO_LEADER
            | reason::NODE_TIMED_OUT
            | reason::NODE_STOPPING
            | reason::NODE_DRAINING
            | reason::NODE_UNREACHABLE
    )
}

/// A connection that breaks leaves open what has become of the write.
fn refusal(error: ApiError, look: &str) -> CommandError {
    let error = CommandError::from(error);
    match error.reason.as_ref() {
        reason::NODE_TIMED_OUT | reason::NODE_STOPPING | reason::NODE_UNREACHABLE if error.hint.is_none() => {
            error.hint(format!("it may have been executed: {look}"))
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::exit;

    fn error(reason: &'static str) -> ApiError {
        ApiError::unavailable(reason, reason)
    }

    async fn ends(deadline: Duration, answers: &[Result<u32, &'static str>]) -> (Result<u32, CommandError>, usize) {
        let sent = Cell::new(0);
        let write = async || {
            let position = sent.get();
            sent.set(position + 1);
            answers[position.min(answers.len() - 1)].map_err(error)
        };
        let deadline = Some(Instant::now() + deadline);
        let ended = until_known(deadline, &Console::new(true, 0), "look there", write).await;
        (ended, sent.get())
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_write_is_sent_again_only_while_its_outcome_is_not_known() {
        use reason::{NO_LEADER, NODE_UNREACHABLE, OUTCOME_UNKNOWN, VERSION_CONFLICT};
        assert_eq!(ends(LONG, &[Ok(1)]).await, (Ok(1), 1));
        assert_eq!(ends(LONG, &[Err(OUTCOME_UNKNOWN), Err(NO_LEADER), Ok(2)]).await, (Ok(2), 3));
        assert_eq!(ends(LONG, &[Err(OUTCOME_UNKNOWN), Err(reason::NODE_DRAINING), Ok(3)]).await, (Ok(3), 3));
        let (refused, sent) = ends(LONG, &[Err(OUTCOME_UNKNOWN), Err(VERSION_CONFLICT)]).await;
        assert_eq!((refused.expect_err("refused").reason.as_ref(), sent), (VERSION_CONFLICT, 2));
        let (refused, sent) = ends(LONG, &[Err(NO_LEADER)]).await;
        assert_eq!((refused.expect_err("not executed").reason.as_ref(), sent), (NO_LEADER, 1));
        let (broken, sent) = ends(LONG, &[Err(NODE_UNREACHABLE)]).await;
        let hint = broken.expect_err("broken").hint.unwrap_or_default();
        assert!(hint.contains("may have been executed") && hint.contains("look there") && sent == 1, "{hint}");
    }

    #[tokio::test]
    async fn what_stays_unknown_is_said_before_the_command_ends() {
        let (unknown, sent) = ends(Duration::from_millis(400), &[Err(reason::OUTCOME_UNKNOWN)]).await;
        let error = unknown.expect_err("nobody knows");
        assert_eq!((error.exit, error.reason.as_ref()), (exit::UNREACHABLE, reason::OUTCOME_UNKNOWN));
        assert_eq!(error.hint.as_deref(), Some("look there"));
        assert!(sent > 1, "sent {sent} times");
    }
}
