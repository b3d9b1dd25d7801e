//! What a node shows of itself: spans over OTLP, metrics, logs. Secrets in none of them.

mod logs;
mod metrics;
mod spans;
