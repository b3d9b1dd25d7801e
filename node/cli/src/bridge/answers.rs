//! What the program is told: the contract's messages as maps.

use std::collections::BTreeMap;

use bytes::Bytes;
use dspex_api::v1;
use serde::Serialize;

use super::executions::Execution;
use crate::result;

/// The body of an answer or an item.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Body {
    Nothing(Nothing),
    Connected {
        address: String,
        version: String,
        embedded: bool,
        home: String,
    },
    Elsewhere {
        moved: bool,
    },
    Stored {
        digest: String,
        bytes: u64,
    },
    StoredBundle {
        digest: String,
        bytes: u64,
        files: usize,
        was_there: bool,
    },
    Submitted {
        run: Box<Run>,
        notes: Vec<String>,
        resumed: bool,
    },
    Run(Box<Run>),
    Event(Box<Event>),
    Results {
        results: Vec<ExampleResult>,
    },
    Question {
        worker: String,
        id: u64,
        index: u32,
        body: Bytes,
    },
    Answers {
        answers: Vec<super::calls::Answer>,
    },
    PoolStats {
        items: Vec<PoolStats>,
    },
    Sessions(super::sessions::Answer),
    Blob {
        data: Bytes,
    },
    Execution(Box<Execution>),
    Executions {
        items: Vec<Execution>,
        next: u64,
        counts: BTreeMap<String, u64>,
    },
    /// A map of texts and numbers, made where its request is.
    Plain(serde_json::Value),
}

/// An empty map.
#[derive(Debug, Serialize)]
pub(super) struct Nothing {}

#[derive(Debug, Serialize)]
pub(super) struct Run {
    run_id: String,
    kind: String,
    status: &'static str,
    examples: u32,
    done: u32,
    failed: u32,
    score: Option<f64>,
    score_sum: f64,
    metric: String,
    program: String,
    usage: BTreeMap<String, BTreeMap<String, u64>>,
    cost_usd: Option<f64>,
    label: String,
    digest: Option<String>,
    reason: String,
    duration_ms: u64,
    execution_us: u64,
    startup_us: u64,
}

impl From<v1::Run> for Run {
    fn from(run: v1::Run) -> Self {
        Self {
            status: result::status_name(run.status()),
            run_id: run.run_id,
            kind: run.kind,
            examples: run.examples,
            done: run.done,
            failed: run.failed,
            score: run.score,
            score_sum: run.score_sum,
            metric: run.metric,
            program: run.program,
            usage: run.usage.into_iter().map(|(model, usage)| (model, usage.tokens)).collect(),
            cost_usd: run.cost_usd,
            label: run.label,
            digest: run.digest,
            reason: run.reason,
            duration_ms: run.duration_ms,
            execution_us: run.execution_us,
            startup_us: run.startup_us,
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Event {
    seq: u64,
    #[serde(flatten)]
    what: What,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Progress(Run),
    Output { worker: String, text: String, dropped_bytes: u64 },
    Warning(String),
    Ended(Run),
}

impl Event {
    pub(super) fn of(event: v1::RunEvent) -> Option<Self> {
        use v1::run_event::Event as Of;
        let what = match event.event? {
            Of::Progress(run) => What::Progress(run.into()),
            Of::Output(output) => {
                What::Output { worker: output.worker, text: output.text, dropped_bytes: output.dropped_bytes }
            }
            Of::Warning(text) => What::Warning(text),
            Of::Ended(run) => What::Ended(run.into()),
        };
        Some(Self { seq: event.seq, what })
    }
}

#[derive(Debug, Serialize)]
pub(super) struct ExampleResult {
    index: u32,
    score: f64,
    score_kind: i32,
    prediction: Bytes,
    returned: Bytes,
    failure: Option<Failure>,
    duration_us: u64,
    attempt: u32,
}

#[derive(Debug, Serialize)]
struct Failure {
    r#type: String,
    message: String,
    traceback: String,
    file: String,
    line: u32,
    worker: String,
    output_tail: String,
}

impl From<v1::ExampleResult> for ExampleResult {
    fn from(result: v1::ExampleResult) -> Self {
        Self {
            index: result.index,
            score: result.score,
            score_kind: result.score_kind,
            prediction: result.prediction,
            returned: result.returned,
            failure: result.failure.map(|failure| Failure {
                r#type: failure.r#type,
                message: failure.message,
                traceback: failure.traceback,
                file: failure.file,
                line: failure.line,
                worker: failure.worker,
                output_tail: failure.output_tail,
            }),
            duration_us: result.duration_us,
            attempt: result.attempt,
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct PoolStats {
    pool: String,
    interpreter: String,
    directory: String,
    workers: u32,
    starting: u32,
    available: u32,
    busy: u32,
    drained: u32,
    queued: u32,
    in_flight: u32,
    requests: u64,
    errors: u64,
    queue_timeouts: u64,
    refused: u64,
    restarts: u64,
    health: String,
    health_reasons: Vec<String>,
}

impl From<v1::PoolStats> for PoolStats {
    fn from(stats: v1::PoolStats) -> Self {
        Self {
            pool: stats.pool,
            interpreter: stats.interpreter,
            directory: stats.directory,
            workers: stats.workers,
            starting: stats.starting,
            available: stats.available,
            busy: stats.busy,
            drained: stats.drained,
            queued: stats.queued,
            in_flight: stats.in_flight,
            requests: stats.requests,
            errors: stats.errors,
            queue_timeouts: stats.queue_timeouts,
            refused: stats.refused,
            restarts: stats.restarts,
            health: stats.health,
            health_reasons: stats.health_reasons,
        }
    }
}
