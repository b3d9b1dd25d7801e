//! Every metric that DSPex has. The reference page is made of [`table`].
//!
//! Names are those of our documents with dots as underscores; counters end in `_total`, durations are in seconds and end in
//! `_seconds`. Where older documents say milliseconds (`dspex.execution.duration`), seconds are what is exposed.

mod execution;
mod gen_ai;
mod node;

pub use execution::*;
pub use gen_ai::*;
pub use node::*;

use crate::metrics::{Buckets, Description};

/// Of durations from a fraction of a millisecond to minutes.
const SECONDS: Buckets =
    Buckets(&[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0]);
/// Of runs: from a second to a day.
const LONG_SECONDS: Buckets =
    Buckets(&[0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 14400.0, 86400.0]);
/// Of what takes a disk's time.
const SHORT_SECONDS: Buckets =
    Buckets(&[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);
/// Of what has none.
const NONE: Buckets = Buckets(&[]);

/// Every metric, in the order of the reference page.
pub fn table() -> impl Iterator<Item = &'static Description> {
    EXECUTION_METRICS.iter().chain(NODE_METRICS).chain(GEN_AI_METRICS).copied()
}

/// Names that are taken, of which nothing is recorded yet: single calls of language models and their cache are seen by the
/// gateway, and blobs come with consensus.
pub fn reserved() -> impl Iterator<Item = &'static Description> {
    let calls = [LLM_REQUESTS.description(), LLM_REQUEST_DURATION.description()];
    let cache = [CACHE_HITS.description(), CACHE_MISSES.description(), CACHE_HIT_RATE.description()];
    calls.into_iter().chain(cache).chain([BLOB_BYTES.description()]).chain(GEN_AI_METRICS.iter().copied())
}

/// Tells the recorder what each metric says. Done by the start of telemetry.
pub fn describe_all() {
    table().for_each(Description::describe);
}

/// Those that the recorder must hold as gauges because they have decimals.
pub(crate) fn sums() -> impl Iterator<Item = &'static Description> {
    [LLM_COST.description()].into_iter()
}

#[cfg(test)]
mod tests;
