//! A run: what was asked for (`RunSpec`, never changes), how far it is (`RunProgress`), and a result for each example.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Digest, NodeId, Score, Shipped, SumRule, payload_of};

/// How long a run is kept after its end, in milliseconds of log time: 30 days.
pub const RUN_RETENTION_MS: u64 = 30 * 24 * 3600 * 1000;

/// Examples that a run may have: a place is kept in memory for each of them.
pub const EXAMPLES_MAX: u32 = 1_000_000;

/// What was asked for. Written once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// "path.py:name" or "module:name", as given, or "pickle:DIGEST", a driver's payload.
    pub program: String,
    /// The program's class.
    pub program_class: String,
    /// Reference of the metric, as given.
    pub metric: String,
    /// The name DSPy shows for it.
    pub metric_name: String,
    /// `--lm`, as given.
    pub lm: Option<String>,
    /// `--lm-set`: key and JSON text.
    pub lm_settings: Vec<(String, String)>,
    /// What answers, for people.
    pub lm_answers: String,
    /// Fields that the program is called with.
    pub inputs: Vec<String>,
    /// `--load`, as given.
    pub saved_state: Option<String>,
    /// What it is evaluated on.
    pub dataset: Dataset,
    /// Examples in flight over all nodes.
    pub num_threads: u32,
    /// Python processes.
    pub workers: u32,
    /// Deadline of one example, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// Executions after a crash that is charged to the example.
    pub retries: u32,
    /// The run fails when this many examples have failed (DSPy: `error_count >= max_errors`).
    pub max_errors: u32,
    /// Score of a failed example.
    pub failure_score: Score,
    /// `--env NAME=V`.
    pub environment: Vec<(String, String)>,
    /// Where the workers start.
    pub directory: String,
    /// The Python that executes it.
    pub interpreter: String,
    /// Its version.
    pub python_version: String,
    /// Version of dspy.
    pub dspy_version: String,
    /// How that Python adds floats.
    pub sum_rule: SumRule,
    /// Blob with {path: sha256} of the program's own source files: a resume with other sources is refused.
    pub sources: Digest,
    /// Digest of everything that decides the result; `--resume` without an id looks for it.
    pub specification: Digest,
    /// Code that was sent along; `None`: the run lies in a directory of its node. It came later than the bytes of the rest, so it
    /// stands behind them in a record and beside them in a command, never among them.
    #[serde(skip)]
    pub shipped: Option<Box<Shipped>>,
}

impl RunSpec {
    /// Every blob that it refers to.
    pub fn blobs(&self) -> impl Iterator<Item = Digest> + use<> {
        let bundle = self.shipped.as_ref().and_then(|shipped| shipped.bundle);
        [self.dataset.digest, self.sources].into_iter().chain(payload_of(&self.program)).chain(bundle)
    }
}

/// The examples of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    /// Blob with a row of JSON for each example.
    pub digest: Digest,
    /// The name shown to people.
    pub name: String,
    /// How many.
    pub examples: u32,
    /// The columns of a file; `None`: the rows come from Python objects, and only those may hold pickles.
    pub columns: Option<Vec<String>>,
    /// CSV: the worker converts cells where the signature types the field.
    pub text_cells: bool,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RunStatus {
    /// Its owner works on it.
    #[default]
    Running,
    /// Every example has a result; it has a score and a digest.
    Finished,
    /// Too many errors, or no score is possible.
    Failed,
    /// Stopped by its user; can be resumed.
    Cancelled,
    /// Its node restarted, or the cluster was restored from a snapshot; can be resumed.
    Interrupted,
    /// Its user lets it rest: nothing new is given out, and what was under way still counts; can be resumed.
    Paused,
}

impl RunStatus {
    /// The word for people and scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
            Self::Paused => "paused",
        }
    }

    /// Whether its results count: workers may be executing for it.
    pub fn is_under_way(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }

    /// Whether a resume continues it.
    pub fn is_resumable(self) -> bool {
        matches!(self, Self::Cancelled | Self::Interrupted | Self::Paused)
    }
}

/// Tokens by model and kind, summed.
pub type Usage = BTreeMap<String, BTreeMap<String, u64>>;

/// How far a run is. Rewritten with every change of the run, so it stays small.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunProgress {
    /// Where it stands.
    pub status: RunStatus,
    /// Why it failed, was cancelled or interrupted.
    pub reason: String,
    /// Goes on when its driver vanishes.
    pub detached: bool,
    /// The voter that plans it.
    pub owner: NodeId,
    /// Fences the owner's orders; raised with each owner and resume.
    pub epoch: u64,
    /// Fences results; raised by cancel, by a retry and by a restore from a snapshot.
    pub generation: u64,
    /// Log time of submission.
    pub created_ms: u64,
    /// Log time since when it runs.
    pub resumed_ms: u64,
    /// Log time of its end, 0 while running.
    pub ended_ms: u64,
    /// Milliseconds under execution in earlier stretches.
    pub executed_ms: u64,
    /// Examples with a result, failed ones included.
    pub done: u32,
    /// Of these, failed.
    pub failed: u32,
    /// Results that came after the first one for their example.
    pub duplicates: u32,
    /// Sum of scores in order of arrival: for progress only.
    pub score_sum: f64,
    /// Tokens used.
    pub usage: Usage,
    /// Sum of known costs in billionths of a dollar.
    pub cost_nanousd: u64,
    /// Results whose cost is unknown although a language model was called.
    pub unknown_costs: u32,
    /// DSPy's score, when finished.
    pub score: Option<f64>,
    /// The run's digest, when finished.
    pub digest: Option<Digest>,
}

/// Why an example failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureReference {
    /// Qualified exception class, `WorkerLost` or `TimedOut`.
    pub class: String,
    /// Blob with message, traceback, worker and node.
    pub detail: Digest,
}

/// An example's result as it stands in the state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExampleResult {
    /// Its score; the failure score when it failed.
    pub score: Score,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// Microseconds of execution.
    pub duration_us: u64,
    /// Blob with the prediction's canonical JSON.
    pub prediction: Option<Digest>,
    /// What stands for the prediction in the run's digest, where that differs from `prediction` (lossy values).
    pub canonical: Option<Digest>,
    /// Set when it failed.
    pub failure: Option<FailureReference>,
}

impl ExampleResult {
    /// Every blob that it refers to.
    pub fn blobs(&self) -> impl Iterator<Item = Digest> + use<> {
        let detail = self.failure.as_ref().map(|failure| failure.detail);
        [self.prediction, detail].into_iter().flatten()
    }
}

/// Tokens of one kind that one example used, by positions in the command's table of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageEntry {
    /// Position of the model's name.
    pub model: u16,
    /// Position of the kind's name.
    pub kind: u16,
    /// Number of tokens.
    pub tokens: u64,
}

/// A result as a worker's node proposes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedResult {
    /// Position in the dataset.
    pub index: u32,
    /// The result.
    pub result: ExampleResult,
    /// Tokens used.
    pub usage: Vec<UsageEntry>,
    /// Cost in billionths of a dollar; `None` when unknown.
    pub cost_nanousd: Option<u64>,
}

/// A run with everything that is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// What was asked for.
    pub spec: RunSpec,
    /// How far it is.
    pub progress: RunProgress,
    /// A place for each example.
    pub results: Vec<Option<ExampleResult>>,
    /// Of examples whose result was dropped for a retry: how often they had been executed. New attempts go on counting.
    pub attempts: BTreeMap<u32, u32>,
    /// How much of the nodes it is to have beside other runs, from 1.
    pub weight: u32,
}

/// The most that a run can be given beside others.
pub const RUN_WEIGHT_MAX: u32 = 100;

impl Run {
    /// A run of which nothing is known but what was asked for.
    pub(crate) fn new(spec: RunSpec) -> Self {
        let results = vec![None; spec.dataset.examples as usize];
        Self { spec, progress: RunProgress::default(), results, attempts: BTreeMap::new(), weight: 1 }
    }

    /// Positions that have no result yet, in order.
    pub fn missing(&self) -> impl Iterator<Item = u32> {
        (0u32..).zip(&self.results).filter(|(_, result)| result.is_none()).map(|(index, _)| index)
    }

    /// Whether there is such an example and it has no result yet.
    pub fn is_missing(&self, index: u32) -> bool {
        matches!(self.results.get(index as usize), Some(None))
    }

    /// Examples that have failed, in order, with their results.
    pub fn failed(&self) -> impl Iterator<Item = (u32, &ExampleResult)> {
        let results = (0u32..).zip(&self.results).filter_map(|(index, result)| Some((index, result.as_ref()?)));
        results.filter(|(_, result)| result.failure.is_some())
    }

    /// Milliseconds under execution up to `now_ms` of log time.
    pub fn executed_ms(&self, now_ms: u64) -> u64 {
        let progress = &self.progress;
        match progress.status {
            RunStatus::Running => progress.executed_ms + now_ms.saturating_sub(progress.resumed_ms),
            _ => progress.executed_ms,
        }
    }

    /// Whether it ended longer ago than runs are kept.
    pub fn is_expired(&self, now_ms: u64) -> bool {
        let ended_ms = self.progress.ended_ms;
        ended_ms > 0 && ended_ms + RUN_RETENTION_MS < now_ms
    }

    /// Every blob that the run refers to.
    pub fn blobs(&self) -> impl Iterator<Item = Digest> {
        self.spec.blobs().chain(self.results.iter().flatten().flat_map(ExampleResult::blobs))
    }
}
