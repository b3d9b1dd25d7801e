//! What is counted and timed: handles to the metrics of `dspex_telemetry::names`, taken once where a request passes often.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dspex_python::protocol::ExampleResult;
use dspex_telemetry::names;
use dspex_telemetry::{Counter, Gauge, Histogram};

use crate::pool::{CallError, PoolClass};
use crate::worker::EndedBy;

/// A straggler is executed a second time.
pub(crate) fn hedged() {
    names::EXAMPLES_HEDGED.with([]).increment(1);
}

/// What a pool counts.
pub(crate) struct PoolMeter {
    pool: &'static str,
    done: Counter,
    request: Histogram,
    queue: Histogram,
    queue_timeouts: Counter,
    queued: Gauge,
    available: Gauge,
    busy: Gauge,
    /// What this pool has added to the three.
    shown: Mutex<[f64; 3]>,
    checkouts: Counter,
    returns: Counter,
    commands: Vec<(Counter, Histogram)>,
}

impl PoolMeter {
    pub(crate) fn new(class: PoolClass) -> Self {
        let pool = class.name();
        Self {
            pool,
            done: names::POOL_REQUESTS.with([pool, "ok"]),
            request: names::POOL_REQUEST_DURATION.with([pool]),
            queue: names::POOL_QUEUE_DURATION.with([pool]),
            queue_timeouts: names::POOL_QUEUE_TIMEOUTS.with([pool]),
            queued: names::POOL_QUEUED.with([pool]),
            available: names::POOL_WORKERS.with([pool, "available"]),
            busy: names::POOL_WORKERS.with([pool, "busy"]),
            shown: Mutex::default(),
            checkouts: names::WORKER_CHECKOUTS.with([pool]),
            returns: names::WORKER_RETURNS.with([pool]),
            commands: Vec::new(),
        }
    }

    /// A command that the plan has numbered.
    pub(crate) fn command(&mut self, number: u32, name: &str) {
        if number as usize == self.commands.len() {
            self.commands.push((names::PYTHON_CALLS.with([name]), names::PYTHON_CALL_DURATION.with([name])));
        }
    }

    pub(crate) fn checked_out(&self, calls: usize) {
        self.checkouts.increment(calls as u64);
    }

    /// A worker has executed a call.
    pub(crate) fn returned(&self, command: u32, executed: Duration) {
        self.returns.increment(1);
        if let Some((count, duration)) = self.commands.get(command as usize) {
            count.increment(1);
            duration.record(executed);
        }
    }

    /// A request has ended.
    pub(crate) fn ended(&self, error: Option<&CallError>, queued: Duration, whole: Duration) {
        self.request.record(whole);
        self.queue.record(queued);
        match error {
            None => self.done.increment(1),
            Some(CallError::QueueTimeout { .. } | CallError::ClassFull { .. }) => {
                self.queue_timeouts.increment(1);
                names::POOL_REQUESTS.with([self.pool, "queue_timeout"]).increment(1);
            }
            Some(error) => {
                names::POOL_REQUESTS.with([self.pool, "error"]).increment(1);
                names::PYTHON_ERRORS.with([error_type(error)]).increment(1);
            }
        }
    }

    /// By the difference: several pools of a class, each with an environment of its own, share these.
    pub(crate) fn occupied(&self, queued: usize, available: usize, busy: usize) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let now = [queued, available, busy].map(|count| count as f64);
        for ((gauge, now), before) in [&self.queued, &self.available, &self.busy].into_iter().zip(now).zip(*shown) {
            gauge.increment(now - before);
        }
        *shown = now;
    }
}

impl Drop for PoolMeter {
    fn drop(&mut self) {
        self.occupied(0, 0, 0);
    }
}

fn error_type(error: &CallError) -> &str {
    match error {
        CallError::Failed(failure) => &failure.exception,
        CallError::TimedOut { .. } => "TimedOut",
        CallError::WorkerLost { .. } => "WorkerLost",
        CallError::NotDefined(_) | CallError::TooManyDefinitions(_) | CallError::UnknownCommand(_) => "NotDefined",
        CallError::NotStarted(_) => "NotStarted",
        CallError::Full { .. }
        | CallError::ClassFull { .. }
        | CallError::Drained { .. }
        | CallError::Draining
        | CallError::TooManyPools(_)
        | CallError::QueueTimeout { .. }
        | CallError::TooLong(_)
        | CallError::Inputs { .. }
        | CallError::ProgramMissing { .. }
        | CallError::Read(_)
        | CallError::Stopping => "Refused",
    }
}

/// Examples have results: their number, their language-model calls, and what was raised.
pub(crate) fn examples(results: &[ExampleResult]) {
    for result in results {
        let executed = Duration::from_micros(result.duration_us);
        names::EXECUTIONS.with([]).increment(1);
        let (outcome, status) = match &result.failure {
            None => ("ok", "completed"),
            Some(failure) => {
                names::PYTHON_ERRORS.with([&failure.exception]).increment(1);
                ("failed", "failed")
            }
        };
        names::EXAMPLES.with([outcome]).increment(1);
        names::EXECUTION_DURATION.record([status], executed);
        if let Some(usage) = &result.usage {
            tokens(usage);
            if let (Some(cost), Some(model)) = (result.cost_usd, only(usage))
                && cost > 0.0
            {
                names::LLM_COST.with([provider(model), model]).add(cost);
            }
        }
    }
}

fn tokens(usage: &BTreeMap<String, BTreeMap<String, i64>>) {
    for (model, kinds) in usage {
        let provider = provider(model);
        for (kind, name) in [("prompt_tokens", "input"), ("completion_tokens", "output")] {
            let count = kinds.get(kind).copied().and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
            if count > 0 {
                names::LLM_TOKENS.with([provider, name]).increment(count);
            }
        }
    }
}

/// The model that a cost is of: a sum over several cannot be divided, and is counted as such.
fn only(usage: &BTreeMap<String, BTreeMap<String, i64>>) -> Option<&str> {
    match usage.len() {
        0 => None,
        1 => usage.keys().next().map(String::as_str),
        _ => Some("several/several"),
    }
}

/// "openai" of "openai/gpt-4o-mini".
fn provider(model: &str) -> &str {
    model.split_once('/').map_or("unknown", |(provider, _)| provider)
}

/// A run has ended.
pub(crate) fn run_ended(status: &str, executed: Duration) {
    names::RUNS.with([status]).increment(1);
    names::RUN_DURATION.record([], executed);
}

/// A worker is ready, so long after it was asked for.
pub(crate) fn worker_started(took: Duration) {
    names::WORKER_STARTS.with([]).increment(1);
    names::WORKER_START_DURATION.record([], took);
}

/// A worker is gone.
pub(crate) fn worker_ended(by: EndedBy, finishing: bool) {
    let cause = match by {
        _ if finishing => "finished",
        EndedBy::Itself => "crashed",
        EndedBy::Node => "killed",
        EndedBy::Zygote => "zygote",
    };
    names::WORKER_ENDS.with([cause]).increment(1);
}

/// The log has answered a proposal, whatever it said.
pub(crate) fn proposed(took: Duration) {
    names::LOG_PROPOSALS.with([]).increment(1);
    names::LOG_PROPOSE_DURATION.record([], took);
}

/// Bytes that workers of other nodes printed did not arrive.
pub(crate) fn prints_lost(bytes: u64) {
    if bytes > 0 {
        names::PRINTS_DROPPED.with([]).increment(bytes);
    }
}
