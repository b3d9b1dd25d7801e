//! What the tests share: a node on a temporary directory, and proposals whose loss can be seen.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod members;

use std::path::Path;

use dspex_consensus::{Consensus, ConsensusOptions, StartError};
use dspex_model::{
    Command, Dataset, Digest, NodeId, Outcome, Proposal, RunId, RunSpec, RunSubmission, Score, ScoreKind, State,
    SumRule,
};
use dspex_storage::{DataDirectory, Options};

/// A running node.
pub struct Node {
    pub data: DataDirectory,
    pub consensus: Consensus,
}

impl Node {
    pub async fn start(path: &Path) -> Self {
        Self::start_with(path, ConsensusOptions::default()).await
    }

    pub async fn start_with(path: &Path, options: ConsensusOptions) -> Self {
        Self::try_start(path, options).await.expect("the node starts")
    }

    pub async fn try_start(path: &Path, options: ConsensusOptions) -> Result<Self, StartError> {
        let data = DataDirectory::open(path, &Options::embedded()).expect("the directory opens");
        let consensus = Consensus::start(&data, options, None).await?;
        Ok(Self { data, consensus })
    }

    pub async fn stop(self) {
        self.consensus.shutdown().await;
        drop(self.consensus);
        self.data.close().expect("the directory closes");
    }

    /// The whole state as one value.
    pub fn state(&self) -> State {
        self.consensus.read_stale(State::clone)
    }
}

/// The blobs that [`submit`] names.
pub const NAMED: [&[u8]; 2] = [b"dataset", b"sources"];

/// The run that [`submit`] makes of a number.
pub fn run_id(number: u128) -> RunId {
    RunId(number)
}

/// A command that leaves a trace under `number`, so that it can be looked for.
pub fn submit(number: u128) -> Proposal {
    let spec = RunSpec {
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
            digest: Digest::of(NAMED[0]),
            name: "set".to_owned(),
            examples: 1,
            columns: None,
            text_cells: false,
        },
        num_threads: 8,
        workers: 2,
        timeout_ms: None,
        retries: 1,
        max_errors: 10,
        failure_score: Score { value: 0.0, kind: ScoreKind::Float },
        environment: Vec::new(),
        directory: "/".to_owned(),
        interpreter: "/usr/bin/python3".to_owned(),
        python_version: "3.11".to_owned(),
        dspy_version: "3.4.0".to_owned(),
        sum_rule: SumRule::Plain,
        sources: Digest::of(NAMED[1]),
        specification: Digest::of(b"specification"),
        shipped: None,
    };
    let submission = RunSubmission { run: RunId(number), owner: NodeId(1), detached: true, spec };
    Proposal::internal(Command::SubmitRun(Box::new(submission)))
}

/// A command that changes next to nothing: what is measured with it is consensus.
pub fn tick() -> Proposal {
    Proposal::internal(Command::Tick)
}

pub async fn must_submit(consensus: &Consensus, number: u128) {
    let outcome = consensus.propose(submit(number)).await.expect("the proposal is answered");
    assert!(matches!(outcome, Outcome::RunSubmitted { .. }), "{number}: {outcome:?}");
}

pub fn has(state: &State, number: u128) -> bool {
    state.run(RunId(number)).is_some()
}
