//! What the node does: pools, workers, the log, storage, telemetry itself.

use super::{LONG_SECONDS, NONE, SECONDS, SHORT_SECONDS};
use crate::metrics::{Counters, Description, Gauges, Histograms, Kind};

pub(super) static NODE_METRICS: &[&Description] = &[
    POOL_REQUESTS.description(),
    POOL_REQUEST_DURATION.description(),
    POOL_QUEUE_DURATION.description(),
    POOL_QUEUE_TIMEOUTS.description(),
    POOL_WORKERS.description(),
    POOL_QUEUED.description(),
    WORKER_CHECKOUTS.description(),
    WORKER_RETURNS.description(),
    WORKER_STARTS.description(),
    WORKER_ENDS.description(),
    WORKER_START_DURATION.description(),
    LOG_PROPOSALS.description(),
    LOG_PROPOSE_DURATION.description(),
    CHANNEL_QUEUED.description(),
    CHANNEL_REFUSED.description(),
    CHANNEL_DROPPED.description(),
    CHANNEL_RECONNECTS.description(),
    BLOB_BYTES.description(),
    EXECUTIONS_RECORDED.description(),
    SPANS_EXPORTED.description(),
    SPANS_DROPPED.description(),
    PRINTS_DROPPED.description(),
];

/// Executions that have ended, by what became of their records.
pub static EXECUTIONS_RECORDED: Counters<1> = Counters::new(Description {
    name: "dspex.executions.recorded",
    exposed: "dspex_executions_recorded_total",
    kind: Kind::Counter,
    unit: "",
    labels: &["outcome"],
    help: "Executions that have ended, by what became of their records: recorded, duplicate or left_out",
    buckets: NONE,
});

/// Requests to a pool that have ended.
pub static POOL_REQUESTS: Counters<2> = Counters::new(Description {
    name: "dspex.pool.requests",
    exposed: "dspex_pool_requests_total",
    kind: Kind::Counter,
    unit: "",
    labels: &["pool", "outcome"],
    help: "Requests to a pool that have ended",
    buckets: NONE,
});

/// How long requests to a pool took, with their wait.
pub static POOL_REQUEST_DURATION: Histograms<1> = Histograms::new(Description {
    name: "dspex.pool.request.duration",
    exposed: "dspex_pool_request_duration_seconds",
    kind: Kind::Histogram,
    unit: "seconds",
    labels: &["pool"],
    help: "How long requests to a pool took, with their wait",
    buckets: LONG_SECONDS,
});

/// How long requests to a pool waited for a worker.
pub static POOL_QUEUE_DURATION: Histograms<1> = Histograms::new(Description {
    name: "dspex.pool.queue.duration",
    exposed: "dspex_pool_queue_duration_seconds",
    kind: Kind::Histogram,
    unit: "seconds",
    labels: &["pool"],
    help: "How long requests to a pool waited for a worker",
    buckets: SECONDS,
});

/// Requests to a pool that waited too long for a worker.
pub static POOL_QUEUE_TIMEOUTS: Counters<1> = Counters::new(Description {
    name: "dspex.pool.queue_timeouts",
    exposed: "dspex_pool_queue_timeouts_total",
    kind: Kind::Counter,
    unit: "",
    labels: &["pool"],
    help: "Requests to a pool that waited too long for a worker",
    buckets: NONE,
});

/// Workers of a pool, by their state.
pub static POOL_WORKERS: Gauges<2> = Gauges::new(Description {
    name: "dspex.pool.workers",
    exposed: "dspex_pool_workers",
    kind: Kind::Gauge,
    unit: "",
    labels: &["pool", "state"],
    help: "Workers of a pool, by their state",
    buckets: NONE,
});

/// Requests to a pool that wait for a worker.
pub static POOL_QUEUED: Gauges<1> = Gauges::new(Description {
    name: "dspex.pool.queued",
    exposed: "dspex_pool_queued",
    kind: Kind::Gauge,
    unit: "",
    labels: &["pool"],
    help: "Requests to a pool that wait for a worker",
    buckets: NONE,
});

/// Workers that a pool handed out.
pub static WORKER_CHECKOUTS: Counters<1> = Counters::new(Description {
    name: "dspex.pool.worker.checkout",
    exposed: "dspex_pool_worker_checkout_total",
    kind: Kind::Counter,
    unit: "",
    labels: &["pool"],
    help: "Workers that a pool handed out",
    buckets: NONE,
});

/// Workers that came back to a pool.
pub static WORKER_RETURNS: Counters<1> = Counters::new(Description {
    name: "dspex.pool.worker.return",
    exposed: "dspex_pool_worker_return_total",
    kind: Kind::Counter,
    unit: "",
    labels: &["pool"],
    help: "Workers that came back to a pool",
    buckets: NONE,
});

/// Python processes that were started as workers.
pub static WORKER_STARTS: Counters<0> = Counters::new(Description {
    name: "dspex.worker.starts",
    exposed: "dspex_worker_starts_total",
    kind: Kind::Counter,
    unit: "",
    labels: &[],
    help: "Python processes that were started as workers",
    buckets: NONE,
});

/// Python processes of workers that ended, by the cause.
pub static WORKER_ENDS: Counters<1> = Counters::new(Description {
    name: "dspex.worker.ends",
    exposed: "dspex_worker_ends_total",
    kind: Kind::Counter,
    unit: "",
    labels: &["cause"],
    help: "Python processes of workers that ended, by the cause",
    buckets: NONE,
});

/// How long it took until a new worker was ready.
pub static WORKER_START_DURATION: Histograms<0> = Histograms::new(Description {
    name: "dspex.worker.start.duration",
    exposed: "dspex_worker_start_duration_seconds",
    kind: Kind::Histogram,
    unit: "seconds",
    labels: &[],
    help: "How long it took until a new worker was ready",
    buckets: SECONDS,
});

/// Commands proposed to the replicated log.
pub static LOG_PROPOSALS: Counters<0> = Counters::new(Description {
    name: "dspex.log.proposals",
    exposed: "dspex_log_proposals_total",
    kind: Kind::Counter,
    unit: "",
    labels: &[],
    help: "Commands proposed to the replicated log",
    buckets: NONE,
});

/// How long it took until a proposed command was applied.
pub static LOG_PROPOSE_DURATION: Histograms<0> = Histograms::new(Description {
    name: "dspex.log.propose.duration",
    exposed: "dspex_log_propose_duration_seconds",
    kind: Kind::Histogram,
    unit: "seconds",
    labels: &[],
    help: "How long it took until a proposed command was applied",
    buckets: SHORT_SECONDS,
});

/// Messages to other nodes that wait to be sent.
pub static CHANNEL_QUEUED: Gauges<1> = Gauges::new(Description {
    name: "dspex.channel.queued",
    exposed: "dspex_channel_queued",
    kind: Kind::Gauge,
    unit: "",
    labels: &["channel"],
    help: "Messages to other nodes that wait to be sent",
    buckets: NONE,
});

/// Requests between nodes that this node refused for want of room, its own and those of others.
pub static CHANNEL_REFUSED: Counters<1> = Counters::new(Description {
    name: "dspex.channel.refused",
    exposed: "dspex_channel_refused_total",
    kind: Kind::Counter,
    unit: "",
    labels: &["channel"],
    help: "Requests between nodes that this node refused for want of room, its own and those of others",
    buckets: NONE,
});

/// Messages between nodes that this node dropped for want of room, its own and those of others.
pub static CHANNEL_DROPPED: Counters<1> = Counters::new(Description {
    name: "dspex.channel.dropped",
    exposed: "dspex_channel_dropped_total",
    kind: Kind::Counter,
    unit: "",
    labels: &["channel"],
    help: "Messages between nodes that this node dropped for want of room, its own and those of others",
    buckets: NONE,
});

/// Connections to other nodes that this node made again after they were lost.
pub static CHANNEL_RECONNECTS: Counters<1> = Counters::new(Description {
    name: "dspex.channel.reconnects",
    exposed: "dspex_channel_reconnects_total",
    kind: Kind::Counter,
    unit: "",
    labels: &["channel"],
    help: "Connections to other nodes that this node made again after they were lost",
    buckets: NONE,
});

/// Bytes of the blobs that this node keeps.
pub static BLOB_BYTES: Gauges<0> = Gauges::new(Description {
    name: "dspex.storage.blob.bytes",
    exposed: "dspex_storage_blob_bytes",
    kind: Kind::Gauge,
    unit: "bytes",
    labels: &[],
    help: "Bytes of the blobs that this node keeps",
    buckets: NONE,
});

/// Spans that a collector took.
pub static SPANS_EXPORTED: Counters<0> = Counters::new(Description {
    name: "dspex.telemetry.spans.exported",
    exposed: "dspex_telemetry_spans_exported_total",
    kind: Kind::Counter,
    unit: "",
    labels: &[],
    help: "Spans that a collector took",
    buckets: NONE,
});

/// Spans that no collector got, by the reason.
pub static SPANS_DROPPED: Counters<1> = Counters::new(Description {
    name: "dspex.telemetry.spans.dropped",
    exposed: "dspex_telemetry_spans_dropped_total",
    kind: Kind::Counter,
    unit: "",
    labels: &["reason"],
    help: "Spans that no collector got, by the reason",
    buckets: NONE,
});

/// What was printed on other nodes and lost on its way to the owner of its run, which counts it.
pub static PRINTS_DROPPED: Counters<0> = Counters::new(Description {
    name: "dspex.telemetry.prints.dropped.bytes",
    exposed: "dspex_telemetry_prints_dropped_bytes_total",
    kind: Kind::Counter,
    unit: "bytes",
    labels: &[],
    help: "Bytes that programs printed on other nodes and that were lost on their way to this node, their run's owner",
    buckets: NONE,
});
