//! The log as all nodes will see it, entry by entry, and what must hold after each of them.

use dspex_model::{Applied, Command, ExampleResult, Outcome, Proposal, Rejection, RunProgress, RunStatus, State};

use super::RunMutant;
use super::subject::{RUN, Subject};

#[derive(Debug)]
pub(super) struct Ledger {
    entries: Vec<Vec<u8>>,
    state: State,
    subject: Subject,
    mutant: Option<RunMutant>,
    /// Proposals of results that were too late for their generation.
    pub(super) fenced: u64,
    /// Failed results that were dropped to be executed again.
    pub(super) retried: u64,
}

/// A log that changes a state as `mutant` would have it.
pub(super) fn apply(state: &mut State, proposal: &Proposal, mutant: Option<RunMutant>) -> Applied {
    let mut proposal = proposal.clone();
    if let Command::RecordResults { run, generation, results, .. } = &mut proposal.command {
        match mutant {
            // The one use of the generation is the check that is left out.
            Some(RunMutant::AcceptsOldGenerations) => {
                *generation = state.run(*run).map_or(*generation, |held| held.progress.generation);
            }
            // What the transition does not find it takes for missing, counts, and writes.
            Some(RunMutant::DropsFirstWins) => {
                let tails: Vec<Vec<u8>> = results.iter().map(|one| tail(run.0, one.index)).collect();
                let keys: Vec<Vec<u8>> = state.records().map(|(key, _)| key).collect();
                for key in keys.iter().filter(|key| tails.iter().any(|tail| key.ends_with(tail))) {
                    state.replay(key, None).expect("a key of this state");
                }
            }
            _ => {}
        }
    }
    state.apply(&proposal)
}

/// What the key of a result ends with.
fn tail(run: u128, index: u32) -> Vec<u8> {
    [&run.to_be_bytes()[..], &index.to_be_bytes()].concat()
}

impl Ledger {
    pub(super) fn new(subject: Subject, mutant: Option<RunMutant>) -> Self {
        Self { entries: Vec::new(), state: State::new(), subject, mutant, fenced: 0, retried: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// An entry, as a node reads it.
    pub(super) fn entry(&self, position: usize) -> Option<Proposal> {
        self.entries.get(position).map(|bytes| Proposal::decode(bytes).expect("an entry of this log"))
    }

    pub(super) fn progress(&self) -> RunProgress {
        self.state.run(RUN).map(|run| run.progress.clone()).unwrap_or_default()
    }

    pub(super) fn failed(&self) -> usize {
        self.state.run(RUN).map_or(0, |run| run.failed().count())
    }

    /// Takes an entry; its outcome, or what it has broken.
    pub(super) fn commit(&mut self, command: &Command, now_ms: u64) -> Result<Outcome, String> {
        let proposal = Proposal { stamp_ms: now_ms, ..Proposal::internal(command.clone()) };
        let bytes = proposal.encode().expect("commands of a run are short");
        let proposal = Proposal::decode(&bytes).expect("what was encoded");
        self.entries.push(bytes);
        let before = self.results();
        let progress = self.progress();
        let Applied { outcome, .. } = apply(&mut self.state, &proposal, self.mutant);
        if matches!(outcome, Outcome::Rejected(Rejection::StaleGeneration { .. })) {
            self.fenced += 1;
        }
        if matches!((command, &outcome), (Command::RetryRun { .. }, Outcome::RunResumed { .. })) {
            self.retried += u64::from(progress.failed);
            return self.holds_together().map(|()| outcome);
        }
        self.first_results_stay(&before)?;
        self.generations_fence(&before, progress.generation)?;
        self.holds_together().map(|()| outcome)
    }

    fn results(&self) -> Vec<Option<ExampleResult>> {
        self.state.run(RUN).map(|run| run.results.clone()).unwrap_or_default()
    }

    fn first_results_stay(&self, before: &[Option<ExampleResult>]) -> Result<(), String> {
        let after = self.results();
        let changed = before.iter().zip(&after).position(|(before, after)| before.is_some() && before != after);
        changed.map_or(Ok(()), |index| {
            Err(format!("the first result counts: that of example {index} gave way to another one"))
        })
    }

    fn generations_fence(&self, before: &[Option<ExampleResult>], generation: u64) -> Result<(), String> {
        let after = self.results();
        let new = before.iter().zip(&after).enumerate().filter(|(_, (before, _))| before.is_none());
        let mut old = new.filter_map(|(index, (_, after))| Some((index, Subject::generation_of(after.as_ref()?))));
        old.find(|(_, executed)| *executed != generation).map_or(Ok(()), |(index, executed)| {
            Err(format!(
                "generations fence: a result of generation {executed} counted for example {index} in generation {generation}"
            ))
        })
    }

    /// Nothing is lost, nothing counted twice, and what is finished has the result that it must have.
    fn holds_together(&self) -> Result<(), String> {
        let progress = self.progress();
        let held = self.results().iter().flatten().count();
        if progress.done as usize != held {
            return Err(format!("the first result counts: {} are counted, and there are {held}", progress.done));
        }
        if progress.status == RunStatus::Failed {
            return Err(format!("runs finish: it failed: {}", progress.reason));
        }
        if progress.status != RunStatus::Finished {
            return Ok(());
        }
        let (score, digest) = self.subject.expected();
        if held != self.subject.examples as usize || progress.failed != self.subject.failing() {
            return Err(format!(
                "nothing is lost: it finished with {held} results, {} of them failed",
                progress.failed
            ));
        }
        if (progress.score, progress.digest) != (score, Some(digest)) {
            return Err(format!(
                "the result is that of one node: {:?} {:?} instead of {score:?} {digest}",
                progress.score, progress.digest
            ));
        }
        Ok(())
    }
}
