//! What has become of the spans: how many wait, how many were delivered, how many were lost and why.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::metrics::Counter;
use crate::names;
use crate::redaction::redact;

/// Why spans were lost; a label of `dspex_telemetry_spans_dropped_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// Too many were waiting.
    QueueFull,
    /// The collector could not be reached or did not take them.
    NotDelivered,
    /// The collector took the batch and refused some of it.
    Rejected,
    /// The node ended first.
    Shutdown,
}

#[derive(Debug)]
pub(super) struct Delivery {
    endpoint: String,
    waiting_max: usize,
    waiting: AtomicUsize,
    warned: AtomicBool,
    /// What the last request failed of: the SDK tells no more than that it did.
    failure: Mutex<String>,
    delivered: Counter,
    /// Of the batch that is under way.
    rejected: AtomicUsize,
}

impl Delivery {
    pub(super) fn new(endpoint: &str, waiting_max: usize) -> Self {
        Self {
            endpoint: redact(endpoint).into_owned(),
            waiting_max,
            waiting: AtomicUsize::new(0),
            warned: AtomicBool::new(false),
            failure: Mutex::default(),
            delivered: names::SPANS_EXPORTED.with([]),
            rejected: AtomicUsize::new(0),
        }
    }

    /// Takes a place in the queue; `false` where there is none.
    pub(super) fn enter(&self) -> bool {
        let one_more = |waiting| (waiting < self.waiting_max).then_some(waiting + 1);
        self.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok()
    }

    /// `spans` have been dealt with, one way or the other.
    pub(super) fn leave(&self, spans: usize) {
        self.waiting.fetch_sub(spans, Ordering::AcqRel);
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// The collector took a batch, but not all of it.
    pub(super) fn rejected(&self, spans: usize, why: &str) {
        self.rejected.store(spans, Ordering::Release);
        self.lost(Loss::Rejected, spans, why);
    }

    /// The collector took a batch of so many.
    pub(super) fn delivered(&self, spans: usize) {
        let spans = spans.saturating_sub(self.rejected.swap(0, Ordering::AcqRel));
        self.delivered.increment(u64::try_from(spans).unwrap_or(u64::MAX));
    }

    pub(super) fn failed_of(&self, why: String) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    pub(super) fn failure(&self) -> String {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts, and warns the first time.
    pub(super) fn lost(&self, loss: Loss, spans: usize, why: &str) {
        names::SPANS_DROPPED.with([loss.label()]).increment(u64::try_from(spans).unwrap_or(u64::MAX));
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                endpoint = %self.endpoint,
                spans,
                reason = loss.label(),
                "Spans were dropped: {why}. More of them are counted in dspex_telemetry_spans_dropped_total and not reported"
            );
        }
    }
}

impl Loss {
    fn label(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::NotDelivered => "not_delivered",
            Self::Rejected => "rejected",
            Self::Shutdown => "shutdown",
        }
    }
}
