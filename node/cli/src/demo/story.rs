//! What the demo does, told as it happens.

use std::time::Duration;

use dspex_api::Client;
use dspex_api::v1::{ListRunsRequest, Run, RunStatus};
use tokio::process::Child;
use tokio::time::Instant;

use super::evaluation::{self, Outcome};
use super::household::Household;
use crate::error::CommandError;
use crate::exit;
use crate::invocation::Invocation;
use crate::output;

/// Of each answer of the model. When the machine is so fast that the run ends before anything could be killed, the next
/// try is slower.
const LATENCIES_MS: [u32; 3] = [20, 100, 400];
const POLL: Duration = Duration::from_millis(5);
/// Importing dspy with a cold disk may take long.
const PROGRESS_LIMIT: Duration = Duration::from_secs(180);

/// Tells it from the beginning; an error if the two scores or digests differ.
pub async fn tell(invocation: &Invocation, household: &mut Household) -> Result<(), CommandError> {
    say(
        invocation,
        "Digits: 8x8 pixels in, a digit out; an offline model that learns from the 16 demos in its prompt.\n",
    )?;
    say(invocation, "1. Undisturbed.")?;
    say(invocation, &format!("   $ {}", evaluation::shown(false)))?;
    let calm = evaluation::outcome(evaluation::start(household, LATENCIES_MS[0], false)?).await?;
    say(invocation, &format!("   {}\n", describe(&calm)))?;
    if let Some(client) = household.node().await? {
        household.census(&client).await?;
    }
    say(invocation, "2. The same again, with losses.")?;
    let disturbed = disturb(invocation, household).await?;
    say(invocation, "3. Resumed: a new node takes over what the old one had stored, and executes the rest.")?;
    say(invocation, &format!("   $ {}", evaluation::shown(true)))?;
    let resumed = evaluation::outcome(evaluation::start(household, disturbed, true)?).await?;
    say(invocation, &format!("   {}\n", describe(&resumed)))?;
    if resumed.score != calm.score || resumed.digest != calm.digest {
        return Err(CommandError::new(
            exit::FAILED,
            format!("the results differ: {} and {}", describe(&calm), describe(&resumed)),
        ));
    }
    say(
        invocation,
        &format!("The same score, {} %, and the same digest: nothing was lost, nothing counted twice.", calm.score),
    )
}

fn describe(outcome: &Outcome) -> String {
    format!(
        "score {} % over {} examples in {:.1} s, digest {}",
        outcome.score,
        outcome.examples,
        outcome.duration,
        outcome.digest.get(..16).unwrap_or(&outcome.digest)
    )
}

fn say(invocation: &Invocation, text: &str) -> Result<(), CommandError> {
    match invocation.format {
        output::Format::Table => output::people(&format!("{text}\n")),
        // Only people want a story on stdout.
        _ => {
            invocation.console.line(text);
            Ok(())
        }
    }
}

/// Kills a worker and then the node of a run; gives the latency with which it succeeded.
async fn disturb(invocation: &Invocation, household: &mut Household) -> Result<u32, CommandError> {
    for latency in LATENCIES_MS {
        let before = newest(household).await?.map(|run| run.run_id);
        say(invocation, &format!("   $ {}", evaluation::shown(false)))?;
        let mut child = evaluation::start(household, latency, false)?;
        if lose(invocation, household, &mut child, before.as_deref()).await? {
            return Ok(latency);
        }
        evaluation::outcome(child).await?;
        say(invocation, "   It ended before anything could be killed; once more with a slower model.")?;
    }
    Err(CommandError::new(exit::FAILED, "the run ends before anything can be killed"))
}

/// False when the run ended too early.
async fn lose(
    invocation: &Invocation,
    household: &mut Household,
    child: &mut Child,
    before: Option<&str>,
) -> Result<bool, CommandError> {
    let Some((client, run)) = progress(household, child, before, 4).await? else {
        return Ok(false);
    };
    household.census(&client).await?;
    let workers = client.workers().await?;
    // A busy one: its examples are in flight and must be executed again.
    let victim = workers.iter().filter(|worker| worker.run_id == run.run_id).max_by_key(|worker| worker.in_flight);
    let Some(victim) = victim else {
        return Ok(false);
    };
    household.kill(victim.pid)?;
    say(
        invocation,
        &format!(
            "   {} of {} done: kill -9 a worker (pid {}, {} examples in flight)",
            run.done, run.examples, victim.pid, victim.in_flight
        ),
    )?;
    let Some((client, run)) = progress(household, child, before, 2).await? else {
        return Ok(false);
    };
    household.census(&client).await?;
    let node = client.status().await?.pid;
    household.kill(node)?;
    say(invocation, &format!("   {} of {} done: kill -9 the node (pid {node})", run.done, run.examples))?;
    let status = tokio::time::timeout(evaluation::END_LIMIT, child.wait())
        .await
        .map_err(|_| CommandError::new(exit::FAILED, "dspex eval does not notice that its node died"))??;
    if status.success() {
        return Ok(false);
    }
    say(invocation, &format!("   dspex eval ended with {} and named the command that goes on.\n", code_of(status)))?;
    Ok(true)
}

fn code_of(status: std::process::ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"))
}

/// Waits until one part in `part` of the new run is done; nothing when it has ended before.
async fn progress(
    household: &Household,
    child: &mut Child,
    before: Option<&str>,
    part: u32,
) -> Result<Option<(Client, Run)>, CommandError> {
    let end = Instant::now() + PROGRESS_LIMIT;
    while Instant::now() < end {
        if child.try_wait()?.is_some() {
            return Ok(None);
        }
        if let Some(client) = household.node().await?
            && let Some(run) = newest_of(&client).await?
            && Some(run.run_id.as_str()) != before
        {
            if run.status() != RunStatus::Running {
                return Ok(None);
            }
            if run.done >= run.examples / part {
                return Ok(Some((client, run)));
            }
        }
        tokio::time::sleep(POLL).await;
    }
    Err(CommandError::new(exit::FAILED, format!("no progress within {} s", PROGRESS_LIMIT.as_secs())))
}

async fn newest(household: &Household) -> Result<Option<Run>, CommandError> {
    match household.node().await? {
        Some(client) => newest_of(&client).await,
        None => Ok(None),
    }
}

async fn newest_of(client: &Client) -> Result<Option<Run>, CommandError> {
    Ok(client.list_runs(ListRunsRequest::default()).await?.items.into_iter().next())
}
