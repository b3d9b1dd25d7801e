//! The last door of spans: without secrets, and counted.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::Status;
use opentelemetry::{Array, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use super::delivery::{Delivery, Loss};
use crate::redaction::{REDACTED, hides_numbers, redact, redact_field};

/// Takes the secrets out of each batch and passes it on.
#[derive(Debug)]
pub(super) struct Exporter<E> {
    next: E,
    delivery: Arc<Delivery>,
}

impl<E> Exporter<E> {
    pub(super) fn new(next: E, delivery: Arc<Delivery>) -> Self {
        Self { next, delivery }
    }
}

impl<E: SpanExporter> SpanExporter for Exporter<E> {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        batch.iter_mut().for_each(clean_span);
        let result = self.next.export(batch).await;
        self.delivery.leave(spans);
        match &result {
            Ok(()) => self.delivery.delivered(spans),
            Err(error) => {
                let why = format!("{error} ({})", self.delivery.failure());
                self.delivery.lost(Loss::NotDelivered, spans, &why);
            }
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}

fn clean_span(span: &mut SpanData) {
    clean_text(&mut span.name);
    span.attributes.iter_mut().for_each(clean_attribute);
    for event in &mut span.events.events {
        clean_text(&mut event.name);
        event.attributes.iter_mut().for_each(clean_attribute);
    }
    for link in &mut span.links.links {
        link.attributes.iter_mut().for_each(clean_attribute);
    }
    if let Status::Error { description } = &mut span.status {
        clean_text(description);
    }
}

fn clean_text(text: &mut Cow<'static, str>) {
    if let Cow::Owned(clean) = redact(text) {
        *text = Cow::Owned(clean);
    }
}

fn clean_attribute(attribute: &mut KeyValue) {
    let name = attribute.key.as_str();
    let clean = match &attribute.value {
        Value::String(text) => changed(redact_field(name, text.as_str()), text.as_str()).map(Value::from),
        Value::Array(Array::String(texts)) => {
            let clean = texts.iter().map(|text| redact_field(name, text.as_str()).into_owned().into()).collect();
            Some(Value::Array(Array::String(clean)))
        }
        Value::I64(_) | Value::F64(_) | Value::Array(_) if hides_numbers(name) => Some(Value::from(REDACTED)),
        _ => None,
    };
    if let Some(clean) = clean {
        attribute.value = clean;
    }
}

fn changed(clean: Cow<'_, str>, text: &str) -> Option<String> {
    (clean != text).then(|| clean.into_owned())
}
