//! The run that is simulated: what each example gives is a function of the example, but for what no digest covers.

use dspex_model::{
    Command, Digest, ExampleResult, FailureReference, NodeId, RecordedResult, RunId, RunSubmission, Score, ScoreKind,
    Shipped, SumRule, evaluation_score, run_digest,
};
use tokio::Random;

use crate::runs::specification;

/// The only run.
pub(super) const RUN: RunId = RunId(7);
/// Results that the plan lets be on their way to the log, beyond the threads.
pub(super) const UNRECORDED_MAX: usize = 6;
/// A generation in what takes the place of a duration: no digest covers it, and an invariant sees whose result counted.
const GENERATION_US: u64 = 1_000_000_000;

/// A run.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) examples: u32,
    pub(super) threads: u32,
    /// Examples of a run take about so long.
    pub(super) typical_us: u64,
}

impl Subject {
    pub(super) fn draw(seed: u64) -> Self {
        let mut random = Random::stream(seed, "subject");
        let examples = random.within(12..90) as u32;
        let threads = random.within(2..9) as u32;
        let typical_us = [400, 4_000, 40_000, 300_000][random.below(4) as usize];
        Self { examples, threads, typical_us }
    }

    fn dataset(&self) -> Digest {
        Digest::of(format!("{} examples", self.examples).as_bytes())
    }

    pub(super) fn submission(&self, owner: NodeId, workers: u32) -> Command {
        let mut spec = specification(self.dataset(), Digest::of(b"sources"));
        spec.dataset.examples = self.examples;
        (spec.num_threads, spec.workers, spec.max_errors, spec.retries) = (self.threads, workers, u32::MAX, u32::MAX);
        let submission = RunSubmission { run: RUN, owner, detached: true, spec };
        Command::SubmitShippedRun { submission: Box::new(submission), shipped: Box::new(Shipped::default()) }
    }

    /// `chance` differs between two executions of an example.
    pub(super) fn result(index: u32, attempt: u32, generation: u64, chance: u64) -> RecordedResult {
        let fails = index % 7 == 3;
        let prediction = (!fails).then(|| Digest::of(format!("prediction of {index}").as_bytes()));
        let failure = fails.then(|| FailureReference {
            class: "ValueError".to_owned(),
            detail: Digest::of(format!("failure of {index}, {chance}").as_bytes()),
        });
        let value = if fails { 0.0 } else { f64::from(index % 11) / 10.0 };
        let duration_us = generation * GENERATION_US + chance % GENERATION_US;
        let score = Score { value, kind: ScoreKind::Float };
        let result = ExampleResult { score, attempt, duration_us, prediction, canonical: None, failure };
        RecordedResult { index, result, usage: Vec::new(), cost_nanousd: None }
    }

    /// The generation in which a result was executed.
    pub(super) fn generation_of(result: &ExampleResult) -> u64 {
        result.duration_us / GENERATION_US
    }

    pub(super) fn expected(&self) -> (Option<f64>, Digest) {
        let all: Vec<ExampleResult> = (0..self.examples).map(|index| Self::result(index, 1, 1, 0).result).collect();
        let scores: Vec<Score> = all.iter().map(|result| result.score).collect();
        (evaluation_score(SumRule::Plain, &scores), run_digest(self.dataset(), all.iter()))
    }

    /// How many fail, whatever happens.
    pub(super) fn failing(&self) -> u32 {
        (0..self.examples).filter(|index| index % 7 == 3).count() as u32
    }
}
