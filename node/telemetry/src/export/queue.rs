//! The bound on what waits. The SDK has one too, and tells nobody what it drops.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Span, SpanData, SpanProcessor};

use super::delivery::{Delivery, Loss};

/// Passes spans on to be gathered, as long as there is room.
#[derive(Debug)]
pub(super) struct BoundedQueue {
    gathering: BatchSpanProcessor,
    delivery: Arc<Delivery>,
}

impl BoundedQueue {
    pub(super) fn new(gathering: BatchSpanProcessor, delivery: Arc<Delivery>) -> Self {
        Self { gathering, delivery }
    }
}

impl SpanProcessor for BoundedQueue {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.gathering.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.delivery.enter() {
            self.gathering.on_end(span);
        } else {
            self.delivery.lost(Loss::QueueFull, 1, "too many were waiting for the collector");
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.gathering.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.gathering.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.gathering.set_resource(resource);
    }
}
