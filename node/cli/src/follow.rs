//! Follows a run until it has ended: progress, prints, Ctrl-C, a node that dies.

mod conclude;
mod failover;
mod leaving;
mod milestones;
mod progress;

pub use conclude::{Wanted, conclude};

use dspex_api::v1::{LineCursor, RequestId, Run, RunEvent, WatchRunRequest, run_event};
use dspex_api::{ApiError, Client, Streaming};
use tokio::time::Instant;
use uuid::Uuid;

use crate::error::CommandError;
use crate::interrupt::Interrupts;
use crate::invocation::Invocation;
use crate::other_nodes::{Loss, OtherNodes, loss};
use crate::run_commands::RunCommands;
use conclude::is_disk_full;
use failover::Search;
use leaving::Leaving;
use progress::Progress;

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
        followed: None,
        lost: None,
        search: Search::default(),
        progress: Progress::new(&invocation.console, run),
        left_out: 0,
        disk_full: false,
        commands: invocation.run_commands,
    };
    loop {
        let leaving = tokio::select! {
            ended = follower.next(invocation) => match ended? {
                Some(run) => return Ok(Ending::Ended(Box::new(run))),
                None => continue,
            },
            () = interrupts.asked() => Leaving::Interrupted,
            () = until(invocation.deadline) => Leaving::TimedOut,
        };
        let run = follower.leave(invocation, leaving).await?;
        return Ok(leaving.ending(run));
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
    /// `None`: the stream is still to be opened, here or, when something is lost, wherever it goes on.
    followed: Option<Followed>,
    lost: Option<Loss>,
    search: Search,
    progress: Progress<'a>,
    /// Bytes that the program printed beyond what is shown.
    left_out: u64,
    /// The node has said that its disk is full: that is why it ends, if it ends.
    disk_full: bool,
    commands: RunCommands,
}

struct Followed {
    events: Streaming<RunEvent>,
    /// The stream's own connection.
    _client: Client,
}

impl Follower<'_> {
    async fn watch(&self) -> Result<Followed, ApiError> {
        let request = WatchRunRequest {
            run_id: self.run.run_id.clone(),
            from_seq: self.seq,
            driver: self.role == Role::Driver,
            after: self.line,
        };
        let client = self.client.attentive().await?;
        Ok(Followed { events: client.watch(request).await?, _client: client })
    }

    /// One step further: an event, or a stream to have some from. Gives the run when it has ended. It may be dropped and called again.
    async fn next(&mut self, invocation: &Invocation) -> Result<Option<Run>, CommandError> {
        let Some(followed) = &mut self.followed else {
            self.pick_up(invocation).await?;
            return Ok(None);
        };
        match followed.events.message().await.map_err(ApiError::from) {
            Ok(Some(event)) => return Ok(self.take(invocation, event)),
            Ok(None) => self.lose(Loss::Node),
            Err(error) => match loss(&error) {
                Some(loss) => self.lose(loss),
                None => return Err(error.into()),
            },
        }
        Ok(None)
    }

    /// Shows an event; gives the run when it has ended.
    fn take(&mut self, invocation: &Invocation, event: RunEvent) -> Option<Run> {
        self.seq = self.seq.max(event.seq);
        self.line = event.line.or(self.line);
        // Events come again: the connection works.
        self.search.goes_on();
        match event.event? {
            run_event::Event::Progress(run) => {
                self.search.is_led();
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
}

/// A request id that nobody has used.
pub fn new_request_id() -> RequestId {
    RequestId { client: Uuid::now_v7().to_string(), request: Uuid::now_v7().to_string() }
}
