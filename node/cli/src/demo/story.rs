//! What the demo does, told as it happens.

use serde_json::json;
use tokio::process::Child;
use tokio::time::Instant;

use super::evaluation::{self, Outcome};
use super::household::{Household, NODES};
use super::losses::{Loss, Watched, hurts, wait_for};
use super::participants::{Participants, busiest_elsewhere, counted, under_way};
use crate::error::CommandError;
use crate::exit;
use crate::invocation::Invocation;
use crate::output::{self, Format};

/// Of each answer of the model. When the machine is so fast, or its Python so slow to start, that a run ends before the story
/// is complete, the next try has a slower model.
const LATENCIES_MS: [u32; 2] = [250, 1000];
/// The node that is asked for a run owns it: here the first one.
const OWNER: usize = 0;
/// Where the run is followed.
const FOLLOWED_AT: usize = 1;

/// Tells it from the beginning; an error if the two scores or digests differ.
pub async fn tell(invocation: &Invocation, household: &mut Household) -> Result<(), CommandError> {
    let story = Story { invocation };
    story.say("Digits: 8x8 pixels in, a digit out; an offline model that learns from the 16 demos in its prompt.\n")?;
    story.begin(household).await?;
    let (latency, calm) = story.undisturbed(household).await?;
    let hard = story.with_losses(household, latency).await?;
    if hard.score != calm.score || hard.digest != calm.digest {
        let why = format!("the results differ: {} and {}", described(&calm), described(&hard));
        return Err(CommandError::new(exit::FAILED, why));
    }
    story.say(&format!(
        "The same score, {} %, and the same digest: nothing was lost, nothing counted twice.",
        calm.score
    ))?;
    story.result(&calm, &hard)
}

fn described(outcome: &Outcome) -> String {
    format!(
        "score {} % over {} examples in {:.1} s, digest {}",
        outcome.score,
        outcome.examples,
        outcome.duration,
        outcome.digest.get(..16).unwrap_or(&outcome.digest)
    )
}

struct Story<'a> {
    invocation: &'a Invocation,
}

impl Story<'_> {
    /// Only people want a story on stdout.
    fn say(&self, text: &str) -> Result<(), CommandError> {
        match self.invocation.format {
            Format::Table => output::people(&format!("{text}\n")),
            _ => {
                self.invocation.console.line(text);
                Ok(())
            }
        }
    }

    /// For scripts, what the story comes to.
    fn result(&self, calm: &Outcome, hard: &Outcome) -> Result<(), CommandError> {
        match self.invocation.format {
            Format::Json | Format::Jsonl => output::json(&json!({
                "nodes": NODES,
                "score": calm.score,
                "digest": calm.digest,
                "examples": calm.examples,
                "undisturbed_s": calm.duration,
                "with_losses_s": hard.duration,
            })),
            Format::Table | Format::Csv => Ok(()),
        }
    }

    async fn begin(&self, household: &mut Household) -> Result<(), CommandError> {
        self.say("1. Three nodes on 127.0.0.1, each a process with a certificate of its own.")?;
        let began = Instant::now();
        household.start().await?;
        for position in 0..NODES {
            let pid = household.pid(position).unwrap_or_default();
            self.say(&format!("   {} (pid {pid})", household.name(position)))?;
        }
        let leader = household.formed().await?;
        self.say(&format!("   One cluster after {:.1} s; {leader} leads.\n", began.elapsed().as_secs_f64()))
    }

    /// Until all nodes have taken part; gives the latency with which they did.
    async fn undisturbed(&self, household: &mut Household) -> Result<(u32, Outcome), CommandError> {
        self.say(&format!("2. Undisturbed. {} is asked, all of them work.", household.name(OWNER)))?;
        for latency in LATENCIES_MS {
            self.say(&format!("   $ {}", evaluation::shown(latency)))?;
            let run = evaluation::submit(household, OWNER, latency).await?;
            let watch = self.follow(household, &run)?;
            let (watched, mut participants) = (watched(&run), Participants::default());
            wait_for(household, &watched, &mut participants, |_| false).await?;
            let outcome = evaluation::outcome(watch).await?;
            self.conclude(household, &outcome, &participants)?;
            if participants.nodes() == NODES {
                return Ok((latency, outcome));
            }
            self.say("   It ended before all nodes had a part in it; once more with a slower model.")?;
        }
        Err(CommandError::new(exit::FAILED, "the run ends before all nodes take part in it")
            .hint("the machine may be too busy for three nodes: try again when it has less to do"))
    }

    /// Until a worker and the owner were lost on the way.
    async fn with_losses(&self, household: &mut Household, first: u32) -> Result<Outcome, CommandError> {
        self.say("3. The same again, with losses.")?;
        for latency in LATENCIES_MS.into_iter().filter(|latency| *latency >= first) {
            self.say(&format!("   $ dspex eval ...   as above, at {}", household.name(OWNER)))?;
            let run = evaluation::submit(household, OWNER, latency).await?;
            let watch = self.follow(household, &run)?;
            let (watched, mut participants) = (watched(&run), Participants::default());
            let is_lost = self.lose(household, &watched, &mut participants).await?;
            let outcome = evaluation::outcome(watch).await?;
            self.conclude(household, &outcome, &participants)?;
            if is_lost {
                return Ok(outcome);
            }
            self.say("   It ended before everything could be killed; once more with a slower model.")?;
        }
        Err(CommandError::new(exit::FAILED, "the run ends before a worker and a node can be killed"))
    }

    fn follow(&self, household: &Household, run: &str) -> Result<Child, CommandError> {
        let (words, name) = (evaluation::watching(run).join(" "), household.name(FOLLOWED_AT));
        self.say(&format!("   $ dspex {words}   at {name}"))?;
        evaluation::watch(household, FOLLOWED_AT, run)
    }

    fn conclude(
        &self,
        household: &Household,
        outcome: &Outcome,
        participants: &Participants,
    ) -> Result<(), CommandError> {
        self.say(&format!("   took part: {}", participants.text(&household.names())))?;
        self.say(&format!("   {}\n", described(outcome)))
    }

    /// False when the run ended too early.
    async fn lose(
        &self,
        household: &mut Household,
        watched: &Watched<'_>,
        participants: &mut Participants,
    ) -> Result<bool, CommandError> {
        let owner = watched.owner;
        let worker = wait_for(household, watched, participants, |now| hurts(Loss::Worker, now, owner)).await?;
        let Some(now) = worker else { return Ok(false) };
        let Some(victim) = busiest_elsewhere(&now.workers, owner) else { return Ok(false) };
        household.kill_worker(victim.pid)?;
        let (name, in_flight) = (household.name(victim.node), counted(victim.in_flight as usize, "example"));
        let so_far = format!("{} of {} done", now.run.done, now.run.examples);
        self.say(&format!("   {so_far}: kill -9 a worker of {name} (pid {}, {in_flight} under way)", victim.pid))?;

        let node = wait_for(household, watched, participants, |now| hurts(Loss::Owner, now, owner)).await?;
        let Some(now) = node else { return Ok(false) };
        let pid = household.pid(owner).unwrap_or_default();
        household.kill_node(owner).await?;
        let killed = Instant::now();
        let (name, in_flight) = (household.name(owner), under_way(&now.workers, owner));
        let in_flight = counted(in_flight as usize, "example");
        let so_far = format!("{} of {} done", now.run.done, now.run.examples);
        self.say(&format!("   {so_far}: kill -9 {name}, which owns the run (pid {pid}, {in_flight} under way)"))?;

        let epoch = now.run.epoch;
        if wait_for(household, watched, participants, |now| now.run.epoch > epoch).await?.is_some() {
            let seconds = killed.elapsed().as_secs_f64();
            self.say(&format!("   another node owns the run after {seconds:.1} s, and executes what has no result"))?;
            wait_for(household, watched, participants, |_| false).await?;
        }
        Ok(true)
    }
}

fn watched(run: &str) -> Watched<'_> {
    Watched { run, at: FOLLOWED_AT, owner: OWNER }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_told_in_one_short_line() {
        let outcome =
            Outcome { score: json!(60.5), digest: "0123456789abcdef0123".to_owned(), examples: 200, duration: 4.26 };
        assert_eq!(described(&outcome), "score 60.5 % over 200 examples in 4.3 s, digest 0123456789abcdef");
    }
}
