//! Ctrl-C and `--command-timeout`: the driver cancels its run, through another node when its own is lost.

use std::time::Duration;

use dspex_api::v1::{CancelRunRequest, Run, run_event};
use dspex_api::{Address, ApiError, reason};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Ending, Follower, Role, new_request_id};
use crate::error::CommandError;
use crate::exit;
use crate::invocation::Invocation;
use crate::other_nodes::{Loss, goes_on, loss_in_write};
use crate::run_commands::RunCommands;

/// How long a cancelled run may take to end.
const CANCEL_LIMIT: Duration = Duration::from_secs(20);
/// After so long another node is asked to cancel, where there is one.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Why one leaves before the end.
#[derive(Debug, Clone, Copy)]
pub(super) enum Leaving {
    Interrupted,
    TimedOut,
}

impl Leaving {
    pub(super) fn ending(self, run: Run) -> Ending {
        match self {
            Self::Interrupted => Ending::Interrupted(Box::new(run)),
            Self::TimedOut => Ending::TimedOut(Box::new(run)),
        }
    }

    fn why(self) -> &'static str {
        match self {
            Self::Interrupted => "Ctrl-C",
            Self::TimedOut => "--command-timeout",
        }
    }

    fn exit(self) -> u8 {
        match self {
            Self::Interrupted => exit::INTERRUPTED,
            Self::TimedOut => exit::LIMIT,
        }
    }
}

impl Follower<'_> {
    /// Cancels as the driver and waits for the end, so that what is printed is what is kept.
    pub(super) async fn leave(&mut self, invocation: &Invocation, leaving: Leaving) -> Result<Run, CommandError> {
        self.progress.clear();
        if self.role == Role::Onlooker {
            return Ok(self.run.clone());
        }
        invocation.console.line("cancelling; what is done is kept (Ctrl-C again leaves at once)");
        self.cancel(leaving).await?;
        let end = Instant::now() + CANCEL_LIMIT;
        if self.followed.is_none() {
            self.followed = timeout_at(end, self.watch()).await.ok().and_then(Result::ok);
        }
        if let Some(followed) = &mut self.followed {
            while let Ok(Ok(Some(event))) = timeout_at(end, followed.events.message()).await {
                if let Some(run_event::Event::Ended(run)) = event.event {
                    return Ok(run);
                }
            }
        }
        // The stream broke before the last event, and the run ended before the cancel.
        if goes_on(&self.run)
            && let Ok(Ok(run)) = timeout_at(end, self.client.run(&self.run.run_id)).await
        {
            self.run = run;
        }
        Ok(self.run.clone())
    }

    async fn cancel(&mut self, leaving: Leaving) -> Result<(), CommandError> {
        let request = CancelRunRequest {
            request_id: Some(new_request_id()),
            run_id: self.run.run_id.clone(),
            reason: leaving.why().to_owned(),
        };
        if self.lost.is_none() || self.followed.is_some() {
            match self.cancel_here(&request).await {
                Err(error) if loss_in_write(&error).is_some() => {}
                answer => return Ok(answer?),
            }
        }
        self.followed = None;
        // Under the same request id: it is executed once, however many nodes hear of it.
        let why = match self.others.find(self.client, &self.run.run_id, Loss::Leader).await {
            Ok((client, _)) => {
                *self.client = client;
                match self.cancel_here(&request).await {
                    Err(error) if loss_in_write(&error).is_some() => error.message,
                    answer => return Ok(answer?),
                }
            }
            Err(refusals) => refusals.text(),
        };
        let is_embedded = matches!(self.client.address(), Address::Unix(_));
        Err(unconfirmed(&self.run, self.commands, leaving, &why, is_embedded))
    }

    async fn cancel_here(&mut self, request: &CancelRunRequest) -> Result<(), ApiError> {
        let has_others = self.others.are_known().await;
        let cancelling = self.client.cancel(request.clone());
        let answer = match has_others {
            true => timeout(ANSWER_LIMIT, cancelling).await.unwrap_or_else(|_| Err(silent())),
            false => cancelling.await,
        };
        match answer {
            Ok(run) => self.run = run,
            // It ended in this very moment: the last event says how.
            Err(error) if error.reason == reason::RUN_ENDED => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn silent() -> ApiError {
    let text = format!("the node did not answer within {} s (cancel)", ANSWER_LIMIT.as_secs());
    ApiError::unavailable(reason::NODE_TIMED_OUT, text)
}

fn unconfirmed(run: &Run, commands: RunCommands, leaving: Leaving, why: &str, is_embedded: bool) -> CommandError {
    let otherwise = match is_embedded {
        true => "",
        false => "; a run that nobody has followed for 30 s is cancelled all the same",
    };
    let message = format!("no node has confirmed that run {} is cancelled ({why}){otherwise}", run.run_id);
    CommandError::new(leaving.exit(), message).hint(format!("go on with: {}", commands.resume(run)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_without_a_node_leaves_all_the_same_and_hears_how_to_go_on() {
        let run = Run { run_id: "r-1".to_owned(), ..Run::default() };
        let error = unconfirmed(&run, RunCommands::AsEver, Leaving::Interrupted, "a:1: refused", false);
        assert_eq!(error.exit, exit::INTERRUPTED);
        assert!(error.message.contains("a:1: refused"), "{}", error.message);
        assert_eq!(error.hint.as_deref(), Some("go on with: dspex run resume r-1"));
        assert_eq!(unconfirmed(&run, RunCommands::AsEver, Leaving::TimedOut, "", true).exit, exit::LIMIT);
    }
}
