//! A stream that broke goes on: at the same node, if that is still there, or at another one of its cluster.

use std::time::Duration;

use dspex_api::v1::Run;
use dspex_api::{Address, reason};
use tokio::time::{Instant, timeout_at};

use super::Follower;
use crate::error::CommandError;
use crate::invocation::Invocation;
use crate::other_nodes::{Loss, Refusals, loss};
use crate::run_commands::RunCommands;

/// Streams that may break one after the other without an event between them.
const LOSSES_MAX: u32 = 3;
/// A search takes no longer, whatever is found on the way.
const SEARCH_LIMIT: Duration = Duration::from_secs(30);
const LEADERLESS: &str = "the node hears of no leader, and no other node of its cluster does: how the run goes on is shown \
                          when there is one again";

/// What has happened since the last event.
#[derive(Debug, Default)]
pub(super) struct Search {
    losses: u32,
    end: Option<Instant>,
    /// It has been said that there is no leader. Prints of the node itself come all the same.
    is_told: bool,
}

impl Search {
    /// When it must be over; `None`: it has taken too many nodes.
    fn next(&mut self) -> Option<Instant> {
        self.losses += 1;
        let end = *self.end.get_or_insert_with(|| Instant::now() + SEARCH_LIMIT);
        (self.losses <= LOSSES_MAX).then_some(end)
    }

    /// The stream works.
    pub(super) fn goes_on(&mut self) {
        (self.losses, self.end) = (0, None);
    }

    /// The log goes on, so there is a leader.
    pub(super) fn is_led(&mut self) {
        self.is_told = false;
    }
}

impl Follower<'_> {
    pub(super) fn lose(&mut self, loss: Loss) {
        self.followed = None;
        self.lost = Some(loss);
    }

    /// Opens the stream where it goes on. When that is lost at once, the next call looks further.
    pub(super) async fn pick_up(&mut self, invocation: &Invocation) -> Result<(), CommandError> {
        match self.lost {
            None => {}
            Some(Loss::Leader) => self.look_for_a_leader(invocation).await,
            Some(Loss::Node) => self.look_for_a_node().await?,
        }
        match self.watch().await {
            Ok(followed) => self.followed = Some(followed),
            Err(error) => match loss(&error) {
                Some(loss) => self.lose(loss),
                None => return Err(error.into()),
            },
        }
        Ok(())
    }

    /// Where nobody has one, the run is waited for at the node that answers.
    async fn look_for_a_leader(&mut self, invocation: &Invocation) {
        match self.others.find(self.client, &self.run.run_id, Loss::Leader).await {
            Ok((client, _)) => *self.client = client,
            Err(_) if self.search.is_told => {}
            Err(_) => {
                self.search.is_told = true;
                invocation.console.warning(LEADERLESS);
            }
        }
    }

    async fn look_for_a_node(&mut self) -> Result<(), CommandError> {
        let mut refusals = Refusals::default();
        if let Some(end) = self.search.next() {
            match timeout_at(end, self.others.find(self.client, &self.run.run_id, Loss::Node)).await {
                Ok(Ok((client, _))) => {
                    *self.client = client;
                    return Ok(());
                }
                Ok(Err(why)) => refusals = why,
                Err(_) => {}
            }
        }
        self.progress.clear();
        Err(match self.client.address() {
            Address::Unix(_) => node_ended(&self.run, self.commands, self.disk_full),
            _ => out_of_sight(&self.run, &refusals, self.disk_full),
        })
    }
}

/// An embedded node takes what it executes with it.
fn node_ended(run: &Run, commands: RunCommands, disk_full: bool) -> CommandError {
    let done = format!("{} of {} examples were done", run.done, run.examples);
    CommandError::because(
        why(disk_full),
        format!("the node ended while it executed run {} ({done}); their results are kept", run.run_id),
    )
    .hint(format!("go on with: {}", commands.resume(run)))
}

/// A cluster goes on with a run also when nobody here reaches it.
fn out_of_sight(run: &Run, refusals: &Refusals, disk_full: bool) -> CommandError {
    let asked = match refusals.text() {
        text if text.is_empty() => String::new(),
        text => format!(" ({text})"),
    };
    let Run { run_id, done, examples, .. } = run;
    CommandError::because(
        why(disk_full),
        format!(
            "no node of the cluster lets run {run_id} be followed any more{asked}; it may go on there ({done} of {examples} \
             examples were done)"
        ),
    )
    .hint(format!("see how it goes on: dspex run watch {run_id}"))
}

fn why(disk_full: bool) -> &'static str {
    if disk_full { reason::STORAGE_FULL } else { reason::NODE_UNREACHABLE }
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
        assert_eq!(out_of_sight(&run, &Refusals::default(), true).exit, exit::LIMIT);
    }

    #[test]
    fn of_a_run_on_a_cluster_nobody_says_that_it_ended() {
        let run = Run { run_id: "r-1".to_owned(), done: 3, examples: 9, ..Run::default() };
        let error = out_of_sight(&run, &Refusals::default(), false);
        assert_eq!(error.exit, exit::UNREACHABLE);
        assert!(error.message.contains("may go on") && error.message.contains("3 of 9"), "{}", error.message);
        assert_eq!(error.hint.as_deref(), Some("see how it goes on: dspex run watch r-1"));
    }

    #[tokio::test]
    async fn a_search_ends_after_some_nodes_and_is_over_when_it_must_be_whatever_is_found() {
        let mut search = Search::default();
        let ends: Vec<Option<Instant>> = (0..=LOSSES_MAX).map(|_| search.next()).collect();
        assert!(ends[0].is_some() && ends[..LOSSES_MAX as usize].iter().all(|end| *end == ends[0]));
        assert_eq!(ends[LOSSES_MAX as usize], None);
    }
}
