//! What clients know of their runs: a run is submitted with its blobs, gets results that name further ones, and goes again. And
//! executions, which are told once they have ended.

use std::sync::Arc;

use dspex_model::{
    Command, Dataset, Digest, ExampleResult, Execution, ExecutionId, ExecutionStatus, ExecutionValue, NodeId, Outcome,
    RecordedResult, RunId, RunSpec, RunSubmission, Score, ScoreKind, SumRule,
};

/// Examples of each run.
const EXAMPLES: u32 = 2;

/// The run that a client works on.
#[derive(Debug, Default)]
pub(crate) struct CurrentRun {
    run: Option<(RunId, u32)>,
}

impl CurrentRun {
    /// The next step of the run, or another run's first, with the blobs that it names. `token` makes them no other's.
    pub(crate) fn next(&self, token: &str, new: RunId, deletes: bool) -> (Command, Vec<Arc<[u8]>>) {
        match self.run {
            Some((run, done)) if done < EXAMPLES => {
                let blob: Arc<[u8]> = format!("prediction of {token}").into_bytes().into();
                let results = vec![result(done, Digest::of(&blob))];
                (Command::RecordResults { run, generation: 1, names: Vec::new(), results }, vec![blob])
            }
            Some((run, _)) if deletes => (Command::DeleteRun { run }, Vec::new()),
            _ => {
                let [dataset, sources] =
                    ["dataset", "sources"].map(|kind| Arc::from(format!("{kind} of {token}").into_bytes()));
                let spec = specification(Digest::of(&dataset), Digest::of(&sources));
                let submission = RunSubmission { run: new, owner: NodeId(1), detached: true, spec };
                (Command::SubmitRun(Box::new(submission)), vec![dataset, sources])
            }
        }
    }

    /// What became of the step.
    pub(crate) fn learn(&mut self, outcome: &Outcome) {
        self.run = match (self.run, outcome) {
            (_, Outcome::RunSubmitted { run, .. }) => Some((*run, 0)),
            (Some((run, done)), Outcome::ResultsRecorded { .. }) => Some((run, done + 1)),
            (known, Outcome::ExecutionsRecorded { .. }) => known,
            _ => None,
        };
    }
}

/// An execution with the blob that it names. `token` makes it no other's.
pub(crate) fn execution(token: &str, id: u128) -> (Command, Vec<Arc<[u8]>>) {
    let blob: Arc<[u8]> = format!("output of {token}").into_bytes().into();
    let execution = Execution {
        id: ExecutionId(id),
        program: "qa".to_owned(),
        program_id: None,
        program_version: None,
        session: None,
        status: ExecutionStatus::Succeeded,
        input: ExecutionValue::Inline("{}".to_owned()),
        output: Some(ExecutionValue::Blob { digest: Digest::of(&blob), bytes: blob.len() as u64 }),
        trace: None,
        metrics: String::new(),
        error: None,
        duration_us: 1_000,
        queued_us: 10,
        node: NodeId(1),
        worker: "w".to_owned(),
        actor: None,
        trace_id: None,
    };
    (Command::RecordExecutions { executions: vec![execution] }, vec![blob])
}

fn score(value: f64) -> Score {
    Score { value, kind: ScoreKind::Float }
}

fn result(index: u32, prediction: Digest) -> RecordedResult {
    let result = ExampleResult {
        score: score(1.0),
        attempt: 1,
        duration_us: 1_000,
        prediction: Some(prediction),
        canonical: None,
        failure: None,
    };
    RecordedResult { index, result, usage: Vec::new(), cost_nanousd: None }
}

/// A run of [`EXAMPLES`] examples.
pub(crate) fn specification(dataset: Digest, sources: Digest) -> RunSpec {
    RunSpec {
        program: "program.py:program".to_owned(),
        program_class: "Program".to_owned(),
        metric: "metric.py:metric".to_owned(),
        metric_name: "metric".to_owned(),
        lm: None,
        lm_settings: Vec::new(),
        lm_answers: String::new(),
        inputs: vec!["question".to_owned()],
        saved_state: None,
        dataset: Dataset {
            digest: dataset,
            name: "set".to_owned(),
            examples: EXAMPLES,
            columns: None,
            text_cells: false,
        },
        num_threads: 8,
        workers: 2,
        timeout_ms: None,
        retries: 1,
        max_errors: 10,
        failure_score: score(0.0),
        environment: Vec::new(),
        directory: "/".to_owned(),
        interpreter: "/usr/bin/python3".to_owned(),
        python_version: "3.12".to_owned(),
        dspy_version: "3.4.0".to_owned(),
        sum_rule: SumRule::Plain,
        sources,
        specification: Digest::of(b"specification"),
        shipped: None,
    }
}
