//! Watches a run while it executes, and takes away from it what the demo takes away: a worker, then the node that owns it.

use std::time::Duration;

use dspex_api::reason;
use dspex_api::v1::{Run, RunStatus};
use tokio::time::Instant;

use super::household::Household;
use super::participants::{Participants, Seen, busiest_elsewhere, under_way};
use crate::error::CommandError;
use crate::exit;

const POLL: Duration = Duration::from_millis(20);
/// Importing dspy with a cold disk may take long.
const PROGRESS_LIMIT: Duration = Duration::from_secs(120);

/// A run, and where it is watched.
#[derive(Debug)]
pub struct Watched<'a> {
    /// Its id.
    pub run: &'a str,
    /// The position of the node that is asked how it is.
    pub at: usize,
    /// The position of the node that owns it, because it was submitted there.
    pub owner: usize,
}

/// A run at a moment, and its workers then.
#[derive(Debug)]
pub struct Moment {
    /// As the log has it.
    pub run: Run,
    /// As the nodes have them.
    pub workers: Vec<Seen>,
}

/// Waits for a moment of a kind; nothing when the run has ended before. Who takes part meanwhile is noted.
pub async fn wait_for(
    household: &mut Household,
    watched: &Watched<'_>,
    participants: &mut Participants,
    is_it: impl Fn(&Moment) -> bool,
) -> Result<Option<Moment>, CommandError> {
    let end = Instant::now() + PROGRESS_LIMIT;
    let mut done = 0;
    while Instant::now() < end {
        let workers = household.workers(watched.run).await;
        participants.note(&workers);
        if let Some(run) = state(household, watched).await? {
            done = run.done;
            if run.status() != RunStatus::Running {
                return Ok(None);
            }
            let moment = Moment { run, workers };
            if is_it(&moment) {
                return Ok(Some(moment));
            }
        }
        tokio::time::sleep(POLL).await;
    }
    let limit = PROGRESS_LIMIT.as_secs();
    Err(CommandError::new(exit::FAILED, format!("the run does not go on: {done} examples were done after {limit} s")))
}

/// The run as the node has it; nothing as long as it has not heard of it, or does not answer.
async fn state(household: &mut Household, watched: &Watched<'_>) -> Result<Option<Run>, CommandError> {
    let Some(client) = household.client(watched.at).await else { return Ok(None) };
    match client.run(watched.run).await {
        Ok(run) => Ok(Some(run)),
        Err(error) if matches!(error.reason.as_ref(), reason::RUN_NOT_FOUND | reason::NODE_UNREACHABLE) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What a moment loses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The busiest worker that the owner does not have.
    Worker,
    /// The owner, with its workers.
    Owner,
}

/// Whether it hurts: enough is done to lose, enough is missing, and whoever is lost has examples under way.
pub fn hurts(loss: Loss, moment: &Moment, owner: usize) -> bool {
    let Run { done, examples, .. } = moment.run;
    match loss {
        Loss::Worker => done >= examples / 4 && busiest_elsewhere(&moment.workers, owner).is_some(),
        Loss::Owner => done >= examples / 2 && done < examples && under_way(&moment.workers, owner) > 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(done: u32, in_flight: [u32; 2]) -> Moment {
        let workers = in_flight.into_iter().enumerate();
        let workers = workers.map(|(node, in_flight)| Seen { node, pid: 1, in_flight, completed: 0 });
        Moment { run: Run { done, examples: 200, ..Run::default() }, workers: workers.collect() }
    }

    #[test]
    fn what_is_lost_is_busy_and_the_run_is_in_its_middle() {
        for (loss, done, in_flight, expected) in [
            (Loss::Worker, 49, [2, 2], false),
            (Loss::Worker, 50, [2, 2], true),
            (Loss::Worker, 50, [2, 0], false),
            (Loss::Owner, 99, [2, 2], false),
            (Loss::Owner, 100, [2, 2], true),
            (Loss::Owner, 100, [0, 2], false),
            (Loss::Owner, 200, [2, 2], false),
        ] {
            assert_eq!(hurts(loss, &moment(done, in_flight), 0), expected, "{loss:?} at {done} with {in_flight:?}");
        }
    }
}
