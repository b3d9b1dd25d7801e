//! What earlier runs say of the one that is to be submitted.

use std::time::Duration;

use dspex_api::v1::{Run, RunStatus};

/// What a node adds to the name of an LM that `--lm` named.
const BY_OPTION: &str = " (--lm)";

/// What an evaluation is known by, before it is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// As `dspex run show` has it.
    pub program: String,
    /// Its name, without the place where it lies.
    pub metric: String,
    /// What is asked, where the caller names it; else it is what the program has by itself.
    pub lm: Option<String>,
    /// Which examples.
    pub dataset: Dataset,
    /// Where the caller is, where names depend on it.
    pub directory: Option<String>,
}

/// How a dataset is told from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dataset {
    /// By the name of its file: it is not read only for this.
    Named(String),
    /// By its rows.
    Digest(String),
}

impl Subject {
    /// Whether a run was of the same. Another version of the program's file counts as the same: this is about time only.
    fn is_of(&self, run: &Run) -> bool {
        let is_dataset = match &self.dataset {
            Dataset::Named(name) => run.dataset == *name,
            Dataset::Digest(digest) => run.dataset_digest == *digest,
        };
        // The node says what answers, then in brackets who chose it.
        let answers = |lm: &String| run.lm == *lm || run.lm.strip_prefix(lm).is_some_and(|rest| rest.starts_with(" ("));
        is_dataset
            && run.program == self.program
            && run.metric == self.metric
            && self.lm.as_ref().map_or(!run.lm.ends_with(BY_OPTION), answers)
            && self.directory.as_ref().is_none_or(|directory| run.directory == *directory)
    }
}

/// A run that was executed in one go, as its node has measured it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// How many examples.
    pub examples: u32,
    /// How many of them at once.
    pub at_once: u32,
    /// From the submission to the first example.
    pub startup: Duration,
    /// From there to the last result.
    pub execution: Duration,
}

impl Measured {
    /// Nothing of a run that has not finished, that went on after an interruption, or whose node has started again since: its times
    /// are of a part, or forgotten.
    fn of(run: &Run) -> Option<Self> {
        let is_whole = run.status() == RunStatus::Finished && run.epoch <= 1 && run.generation <= 1;
        let is_measured = run.startup_us > 0 && run.execution_us > 0 && run.examples > 0 && run.num_threads > 0;
        (is_whole && is_measured).then(|| Self {
            examples: run.examples,
            at_once: run.num_threads,
            startup: Duration::from_micros(run.startup_us),
            execution: Duration::from_micros(run.execution_us),
        })
    }

    /// What one example took, with so many others beside it.
    pub fn of_one(&self) -> Duration {
        self.execution.mul_f64(f64::from(self.at_once.min(self.examples)) / f64::from(self.examples))
    }
}

/// The newest run of the same; `runs` are newest first.
pub fn newest(runs: &[Run], subject: &Subject) -> Option<Measured> {
    runs.iter().filter(|run| subject.is_of(run)).find_map(Measured::of)
}

/// The least that any run took before its first example.
pub fn least_startup(runs: &[Run]) -> Option<Duration> {
    runs.iter().filter_map(Measured::of).map(|measured| measured.startup).min()
}
