//! What the node tells about itself: log lines, spans, metrics. The only room that knows OpenTelemetry and the exporters.
//!
//! The node starts [`Telemetry`] once, with [`Settings`] from the environment, and ends it. Any other room may make a [`span!`],
//! pass a trace on as text ([`current_traceparent`], [`set_parent`]), count by the metrics in [`names`], and [`redact`] what it
//! is going to show.
//!
//! No secret leaves by any of these doors, no collector is waited for, and what nobody asked for costs next to nothing.

mod error;
mod export;
mod log;
mod metrics;
pub mod names;
mod redaction;
mod settings;
mod telemetry;
mod trace_context;

pub use error::Error;
pub use metrics::{
    Buckets, Counter, Counters, Description, Gauge, Gauges, Histogram, Histograms, Kind, Sum, Sums, render,
};
pub use redaction::{Hidden, REDACTED, hide, is_secret_name, redact};
pub use settings::{LOG_FILTER_DEFAULT, LogFormat, SERVICE_NAME_DEFAULT, Settings, TraceSettings};
pub use telemetry::Telemetry;
pub use trace_context::{
    NotATraceParent, TRACE_TARGET, TraceParent, current_traceparent, set_parent, span_traceparent,
};

#[doc(hidden)]
pub use tracing;
