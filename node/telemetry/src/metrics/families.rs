//! What a metric is, and how its handles are had.

use std::time::Duration;

use ::metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Unit};

use super::cap::cap;

/// Which kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// How often values of which size occurred.
    Histogram,
}

/// The upper bounds of a histogram's buckets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Buckets(pub &'static [f64]);

/// All there is to know about a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Description {
    /// The name that our documents use.
    pub name: &'static str,
    /// The name that Prometheus sees.
    pub exposed: &'static str,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// `seconds`, `bytes`, `{token}`; empty for what is only counted.
    pub unit: &'static str,
    /// Names of the labels, as Prometheus sees them.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
    /// Of a histogram.
    pub buckets: Buckets,
}

/// A whole number that only rises, for each set of label values.
#[derive(Debug)]
pub struct Counters<const N: usize>(Description);

/// A number that only rises and has decimals.
#[derive(Debug)]
pub struct Sums<const N: usize>(Description);

/// A number that rises and falls.
#[derive(Debug)]
pub struct Gauges<const N: usize>(Description);

/// How often values of which size occurred.
#[derive(Debug)]
pub struct Histograms<const N: usize>(Description);

/// A handle of [`Sums`].
#[derive(Clone, Debug)]
pub struct Sum(Gauge);

impl<const N: usize> Counters<N> {
    pub(crate) const fn new(description: Description) -> Self {
        assert!(description.labels.len() == N);
        Self(description)
    }

    /// What this family is.
    #[must_use]
    pub const fn description(&self) -> &Description {
        &self.0
    }

    /// The handle for these label values, in the order of the labels. To be kept where it is used often, and to be had after
    /// the start of telemetry: one from before counts nothing.
    pub fn with(&self, values: [&str; N]) -> Counter {
        ::metrics::with_recorder(|recorder| recorder.register_counter(&key(&self.0, values), &METADATA))
    }
}

impl<const N: usize> Sums<N> {
    pub(crate) const fn new(description: Description) -> Self {
        assert!(description.labels.len() == N);
        Self(description)
    }

    /// What this family is.
    #[must_use]
    pub const fn description(&self) -> &Description {
        &self.0
    }

    /// The handle for these label values; see [`Counters::with`].
    #[must_use]
    pub fn with(&self, values: [&str; N]) -> Sum {
        // Counters of the library are whole numbers; the exposition calls it a counter again.
        Sum(::metrics::with_recorder(|recorder| recorder.register_gauge(&key(&self.0, values), &METADATA)))
    }
}

impl Sum {
    /// Adds what is above zero; a sum never falls.
    pub fn add(&self, amount: f64) {
        if amount.is_finite() && amount > 0.0 {
            self.0.increment(amount);
        }
    }
}

impl<const N: usize> Gauges<N> {
    pub(crate) const fn new(description: Description) -> Self {
        assert!(description.labels.len() == N);
        Self(description)
    }

    /// What this family is.
    #[must_use]
    pub const fn description(&self) -> &Description {
        &self.0
    }

    /// The handle for these label values; see [`Counters::with`].
    pub fn with(&self, values: [&str; N]) -> Gauge {
        ::metrics::with_recorder(|recorder| recorder.register_gauge(&key(&self.0, values), &METADATA))
    }
}

impl<const N: usize> Histograms<N> {
    pub(crate) const fn new(description: Description) -> Self {
        assert!(description.labels.len() == N);
        Self(description)
    }

    /// What this family is.
    #[must_use]
    pub const fn description(&self) -> &Description {
        &self.0
    }

    /// The handle for these label values; see [`Counters::with`]. It takes numbers, or a [`Duration`] as seconds.
    pub fn with(&self, values: [&str; N]) -> Histogram {
        ::metrics::with_recorder(|recorder| recorder.register_histogram(&key(&self.0, values), &METADATA))
    }

    /// Records once, for what does not happen often.
    pub fn record(&self, values: [&str; N], took: Duration) {
        self.with(values).record(took);
    }
}

impl Description {
    /// Tells the recorder what the metric says.
    pub(crate) fn describe(&self) {
        let unit = match self.unit {
            "seconds" => Some(Unit::Seconds),
            "bytes" => Some(Unit::Bytes),
            _ => None,
        };
        ::metrics::with_recorder(|recorder| match self.kind {
            Kind::Counter => recorder.describe_counter(self.exposed.into(), unit, self.help.into()),
            Kind::Gauge => recorder.describe_gauge(self.exposed.into(), unit, self.help.into()),
            Kind::Histogram => recorder.describe_histogram(self.exposed.into(), unit, self.help.into()),
        });
    }
}

static METADATA: Metadata<'static> = Metadata::new("dspex", Level::INFO, None);

fn key<const N: usize>(description: &Description, values: [&str; N]) -> Key {
    let labels = description.labels.iter().zip(values).map(|(label, value)| Label::new(*label, cap(label, value)));
    Key::from_parts(description.exposed, labels.collect::<Vec<_>>())
}
