//! Families of metrics: a name, its labels, and handles that cost an atomic addition.

mod cap;
mod exposition;
mod families;

pub use ::metrics::{Counter, Gauge, Histogram};
pub use exposition::render;
pub use families::{Buckets, Counters, Description, Gauges, Histograms, Kind, Sum, Sums};

pub(crate) use exposition::Exposition;
