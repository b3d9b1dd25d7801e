//! What programs do: executions, runs, calls of models and of Python, caches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{LONG_SECONDS, NONE, SECONDS};
use crate::metrics::{Counter, Counters, Description, Gauge, Gauges, Histograms, Kind, Sums};

pub(super) static EXECUTION_METRICS: &[&Description] = &[
    EXECUTIONS.description(),
    EXECUTION_DURATION.description(),
    RUNS.description(),
    RUN_DURATION.description(),
    EXAMPLES.description(),
    EXAMPLES_HEDGED.description(),
    LLM_REQUESTS.description(),
    LLM_REQUEST_DURATION.description(),
    LLM_TOKENS.description(),
    LLM_COST.description(),
    CACHE_HITS.description(),
    CACHE_MISSES.description(),
    CACHE_HIT_RATE.description(),
    PYTHON_CALLS.description(),
    PYTHON_CALL_DURATION.description(),
    PYTHON_ERRORS.description(),
];

/// Executions of a program on an example that have ended.
pub static EXECUTIONS: Counters<0> = Counters::new(Description {
    name: "dspex.execution.count",
    exposed: "dspex_execution_count_total",
    kind: Kind::Counter,
    unit: "",
    labels: &[],
    help: "Executions of a program on an example that have ended",
    buckets: NONE,
});

/// How long executions of a program on an example took. In older documents this is in milliseconds; it is exposed in seconds.
pub static EXECUTION_DURATION: Histograms<1> = Histograms::new(Description {
    name: "dspex.execution.duration",
    exposed: "dspex_execution_duration_seconds",
    kind: Kind::Histogram,
    unit: "seconds",
    labels: &["status"],
    help: "How long executions of a program on an example took",
    buckets: LONG_SECONDS,
});

/// Runs that have ended, by their status.
pub static RUNS: Counters<1> = Counters::new(Description {
    name: "dspex.runs",
    exposed: "dspex_runs_total",
    kind: Kind::Counter,
    unit: "",
    labels: &["status"],
    help: "Runs that have ended, by their status",
    buckets: NONE,
});

/// How long runs took from their submission to their end.
pub static RUN_DURATION: Histograms<0> = Histograms::new(Description {
    name: "dspex.run.duration",
    exposed: "dspex_run_duration_seconds",
    kind: Kind::Histogram,
    unit: "seconds",
    labels: &[],
    help: "How long runs took from their submission to their end",
    buckets: LONG_SECONDS,
});

/// Examples with a result in the log, by its outcome.
pub static EXAMPLES: Counters<1> = Counters::new(Description {
    name: "dspex.examples",
    exposed: "dspex_examples_total",
    kind: Kind::Counter,
    unit: "",
    labels: &["outcome"],
    help: "Examples with a result in the log, by its outcome",
    buckets: NONE,
});

/// Stragglers that were executed a second time on another node.
pub static EXAMPLES_HEDGED: Counters<0> = Counters::new(Description {
    name: "dspex.examples.hedged",
    exposed: "dspex_examples_hedged_total",
    kind: Kind::Counter,
    unit: "",
    labels: &[],
    help: "Examples that took far longer than others and were executed a second time on another node",
    buckets: NONE,
});

/// Calls of language models.
pub static LLM_REQUESTS: Counters<2> = Counters::new(Description {
    name: "dspex.llm.request.count",
    exposed: "dspex_llm_request_count_total",
    kind: Kind::Counter,
    unit: "",
    labels: &["provider", "model"],
    help: "Calls of language models",
    buckets: NONE,
});

/// How long calls of language models took.
pub static LLM_REQUEST_DURATION: Histograms<1> = Histograms::new(Description {
    name: "dspex.llm.request.duration",
    exposed: "dspex_llm_request_duration_seconds",
    kind: Kind::Histogram,
    unit: "seconds",
    labels: &["provider"],
    help: "How long calls of language models took",
    buckets: SECONDS,
});

/// Tokens that language models read and wrote.
pub static LLM_TOKENS: Counters<2> = Counters::new(Description {
    name: "dspex.llm.tokens.total",
    exposed: "dspex_llm_tokens_total",
    kind: Kind::Counter,
    unit: "",
    labels: &["provider", "type"],
    help: "Tokens that language models read and wrote",
    buckets: NONE,
});

/// What calls of language models cost in US dollars, where the price is known.
pub static LLM_COST: Sums<2> = Sums::new(Description {
    name: "dspex.llm.cost.usd",
    exposed: "dspex_llm_cost_usd_total",
    kind: Kind::Counter,
    unit: "usd",
    labels: &["provider", "model"],
    help: "What calls of language models cost in US dollars, where the price is known",
    buckets: NONE,
});

/// Answers that a cache had.
pub static CACHE_HITS: Counters<1> = Counters::new(Description {
    name: "dspex.cache.hit",
    exposed: "dspex_cache_hit_total",
    kind: Kind::Counter,
    unit: "",
    labels: &["cache_name"],
    help: "Answers that a cache had",
    buckets: NONE,
});

/// Answers that a cache did not have.
pub static CACHE_MISSES: Counters<1> = Counters::new(Description {
    name: "dspex.cache.miss",
    exposed: "dspex_cache_miss_total",
    kind: Kind::Counter,
    unit: "",
    labels: &["cache_name"],
    help: "Answers that a cache did not have",
    buckets: NONE,
});

/// Share of answers that a cache had, since the start of the node, from 0 to 1.
pub static CACHE_HIT_RATE: Gauges<1> = Gauges::new(Description {
    name: "dspex.cache.hit_rate",
    exposed: "dspex_cache_hit_rate",
    kind: Kind::Gauge,
    unit: "",
    labels: &["cache_name"],
    help: "Share of answers that a cache had, since the start of the node, from 0 to 1",
    buckets: NONE,
});

/// Calls from the node into Python.
pub static PYTHON_CALLS: Counters<1> = Counters::new(Description {
    name: "dspex.python.call.count",
    exposed: "dspex_python_call_count_total",
    kind: Kind::Counter,
    unit: "",
    labels: &["function"],
    help: "Calls from the node into Python",
    buckets: NONE,
});

/// How long calls from the node into Python took.
pub static PYTHON_CALL_DURATION: Histograms<1> = Histograms::new(Description {
    name: "dspex.python.call.duration",
    exposed: "dspex_python_call_duration_seconds",
    kind: Kind::Histogram,
    unit: "seconds",
    labels: &["function"],
    help: "How long calls from the node into Python took",
    buckets: SECONDS,
});

/// Exceptions that calls into Python ended with.
pub static PYTHON_ERRORS: Counters<1> = Counters::new(Description {
    name: "dspex.python.error.count",
    exposed: "dspex_python_error_count_total",
    kind: Kind::Counter,
    unit: "",
    labels: &["error_type"],
    help: "Exceptions that calls into Python ended with",
    buckets: NONE,
});

/// Counts what a cache has and has not, and keeps [`CACHE_HIT_RATE`] up to date. Clones count together.
#[derive(Clone, Debug)]
pub struct CacheMeter(Arc<Cache>);

#[derive(Debug)]
struct Cache {
    hits: Counter,
    misses: Counter,
    rate: Gauge,
    had: AtomicU64,
    asked: AtomicU64,
}

/// The meter of the cache with this name: one for each cache, to be kept.
#[must_use]
pub fn cache(cache_name: &str) -> CacheMeter {
    CacheMeter(Arc::new(Cache {
        hits: CACHE_HITS.with([cache_name]),
        misses: CACHE_MISSES.with([cache_name]),
        rate: CACHE_HIT_RATE.with([cache_name]),
        had: AtomicU64::new(0),
        asked: AtomicU64::new(0),
    }))
}

impl CacheMeter {
    /// The cache had the answer.
    pub fn hit(&self) {
        self.0.hits.increment(1);
        self.0.had.fetch_add(1, Ordering::Relaxed);
        self.asked();
    }

    /// The cache did not have the answer.
    pub fn miss(&self) {
        self.0.misses.increment(1);
        self.asked();
    }

    fn asked(&self) {
        let asked = self.0.asked.fetch_add(1, Ordering::Relaxed) + 1;
        #[allow(clippy::cast_precision_loss, reason = "a share")]
        self.0.rate.set(self.0.had.load(Ordering::Relaxed) as f64 / asked as f64);
    }
}
