//! Follows a run until it has ended: progress, prints, Ctrl-C, a node that dies.

mod conclude;
mod milestones;
mod progress;

pub use conclude::{Wanted, conclude};

use std::time::Duration;

use dspex_api::v1::{CancelRunRequest, LineCursor, RequestId, Run, RunEvent, WatchRunRequest, run_event};
use dspex_api::{ApiError, Client, Streaming, reason};
use tokio::time::Instant;
use uuid::Uuid;

use crate::error::CommandError;
use crate::interrupt::Interrupts;
use crate::invocation::Invocation;
use crate::other_nodes::{OtherNodes, goes_on, is_lost};
use crate::run_commands::RunCommands;
use conclude::is_disk_full;
use progress::Progress;

/// How long a cancelled run may take to end.
const CANCEL_LIMIT: Duration = Duration::from_secs(20);
/// A stream that breaks may be picked up again, if the node is still there, or another one of its cluster.
const RECONNECTIONS: u32 = 3;

/// Whose eyes these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The command that submitted the run: Ctrl-C cancels it.
    Driver,
    /// An onlooker: Ctrl-C only stops watching.
    Onlooker,
}

/// How following came to its end.
#[derive(Debug)]
pub enum Ending {
    /// The run ended by itself, or somebody else ended it.
    Ended(Box<Run>),
    /// Ctrl-C.
    Interrupted(Box<Run>),
    /// `--command-timeout`.
    TimedOut(Box<Run>),
}

enum Step {
    Event(Box<Result<Option<RunEvent>, ApiError>>),
    Asked,
    Late,
}

/// Follows `run` until it has ended; `client` leads to the node through which that was seen.
pub async fn follow(
    invocation: &Invocation,
    client: &mut Client,
    run: &Run,
    role: Role,
    interrupts: &Interrupts,
) -> Result<Ending, CommandError> {
    let mut follower = Follower {
        others: OtherNodes::learn(client),
        client,
        run: run.clone(),
        role,
        seq: 0,
        line: None,
        reconnections: 0,
        progress: Progress::new(&invocation.console, run),
        left_out: 0,
        disk_full: false,
        commands: invocation.run_commands,
    };
    let mut stream = follower.watch().await?;
    loop {
        let step = tokio::select! {
            event = stream.message() => Step::Event(Box::new(event.map_err(ApiError::from))),
            () = interrupts.asked() => Step::Asked,
            () = until(invocation.deadline) => Step::Late,
        };
        match step {
            Step::Event(event) => match *event {
                Ok(Some(event)) => {
                    if let Some(ended) = follower.take(invocation, event) {
                        return Ok(Ending::Ended(Box::new(ended)));
                    }
                }
                broken => match follower.pick_up(broken.err()).await? {
                    Picked::Ended(run) => return Ok(Ending::Ended(run)),
                    Picked::Stream(again) => stream = *again,
                },
            },
            Step::Asked => {
                let run = follower.leave(invocation, stream, "Ctrl-C").await?;
                return Ok(Ending::Interrupted(Box::new(run)));
            }
            Step::Late => {
                let run = follower.leave(invocation, stream, "--command-timeout").await?;
                return Ok(Ending::TimedOut(Box::new(run)));
            }
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

struct Follower<'a> {
    client: &'a mut Client,
    others: OtherNodes,
    run: Run,
    role: Role,
    seq: u64,
    /// The last print or warning that was shown.
    line: Option<LineCursor>,
    reconnections: u32,
    progress: Progress<'a>,
    /// Bytes that the program printed beyond what is shown.
    left_out: u64,
    /// The node has said that its disk is full: that is why it ends, if it ends.
    disk_full: bool,
    commands: RunCommands,
}

enum Picked {
    Stream(Box<Streaming<RunEvent>>),
    Ended(Box<Run>),
}

impl Follower<'_> {
    async fn watch(&self) -> Result<Streaming<RunEvent>, ApiError> {
        let request = WatchRunRequest {
            run_id: self.run.run_id.clone(),
            from_seq: self.seq,
            driver: self.role == Role::Driver,
            after: self.line,
        };
        self.client.watch(request).await
    }

    /// Shows an event; gives the run when it has ended.
    fn take(&mut self, invocation: &Invocation, event: RunEvent) -> Option<Run> {
        self.seq = self.seq.max(event.seq);
        self.line = event.line.or(self.line);
        // Events come again: the connection works.
        self.reconnections = 0;
        match event.event? {
            run_event::Event::Progress(run) => {
                self.progress.update(&run);
                self.run = run;
            }
            run_event::Event::Output(output) => {
                // A progress bar goes back to the beginning of its line, which nothing may do here.
                invocation.console.line(&output.text.replace("\r\n", "\n").replace('\r', "\n"));
                self.left_out += output.dropped_bytes;
            }
            run_event::Event::Warning(text) => {
                self.disk_full |= is_disk_full(&text);
                invocation.console.warning(&text);
            }
            run_event::Event::Ended(run) => {
                self.progress.end(&run);
                if self.left_out > 0 {
                    let text = format!("{} bytes of the program's prints were left out", self.left_out);
                    invocation.console.warning(&text);
                }
                return Some(run);
            }
        }
        None
    }

    /// After a broken stream: the same node may still be there, or may have come back; else another node knows of the run.
    async fn pick_up(&mut self, error: Option<ApiError>) -> Result<Picked, CommandError> {
        if let Some(error) = error
            && !is_lost(&error)
        {
            return Err(error.into());
        }
        while self.reconnections < RECONNECTIONS {
            self.reconnections += 1;
            let Some((client, run)) = self.others.find(self.client, &self.run.run_id).await else { break };
            *self.client = client;
            if !goes_on(&run) {
                self.progress.end(&run);
                return Ok(Picked::Ended(Box::new(run)));
            }
            if let Ok(stream) = self.watch().await {
                return Ok(Picked::Stream(Box::new(stream)));
            }
        }
        self.progress.clear();
        Err(node_ended(&self.run, self.commands, self.disk_full))
    }

    /// Cancels as the driver and waits for the end, so that what is printed is what is kept.
    async fn leave(
        &mut self,
        invocation: &Invocation,
        mut stream: Streaming<RunEvent>,
        why: &str,
    ) -> Result<Run, CommandError> {
        if self.role == Role::Onlooker {
            self.progress.clear();
            return Ok(self.run.clone());
        }
        self.progress.clear();
        invocation.console.line("cancelling; what is done is kept (Ctrl-C again leaves at once)");
        let request = CancelRunRequest {
            request_id: Some(new_request_id()),
            run_id: self.run.run_id.clone(),
            reason: why.to_owned(),
        };
        match self.client.cancel(request).await {
            Ok(run) => self.run = run,
            // It ended in this very moment: the last event says how.
            Err(error) if error.reason == reason::RUN_ENDED => {}
            Err(error) => return Err(error.into()),
        }
        let end = Instant::now() + CANCEL_LIMIT;
        while let Ok(Ok(Some(event))) = tokio::time::timeout_at(end, stream.message()).await {
            if let Some(run_event::Event::Ended(run)) = event.event {
                return Ok(run);
            }
        }
        Ok(self.run.clone())
    }
}

fn node_ended(run: &Run, commands: RunCommands, disk_full: bool) -> CommandError {
    let why = if disk_full { reason::STORAGE_FULL } else { reason::NODE_UNREACHABLE };
    let done = format!("{} of {} examples were done", run.done, run.examples);
    CommandError::because(
        why,
        format!("the node ended while it executed run {} ({done}); their results are kept", run.run_id),
    )
    .hint(format!("go on with: {}", commands.resume(run)))
}

/// A request id that nobody has used.
pub fn new_request_id() -> RequestId {
    RequestId { client: Uuid::now_v7().to_string(), request: Uuid::now_v7().to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit;

    #[test]
    fn a_node_that_ends_for_its_full_disk_reached_a_limit() {
        let run = Run::default();
        assert_eq!(node_ended(&run, RunCommands::AsEver, true).exit, exit::LIMIT);
        assert_eq!(node_ended(&run, RunCommands::AsEver, false).exit, exit::UNREACHABLE);
    }
}
