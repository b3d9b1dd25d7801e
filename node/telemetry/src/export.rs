//! Spans go to a collector by OTLP over HTTP, in batches, from a thread of their own. A collector that is slow or gone costs spans,
//! which are counted, and never the node's time.

mod clean;
mod client;
mod delivery;
mod queue;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider};

use self::client::Client;
use self::delivery::{Delivery, Loss};
use self::queue::BoundedQueue;
use crate::redaction::{hide_for_ever, redact_field};
use crate::settings::TraceSettings;

/// The export of spans, from its start to its end.
pub(crate) struct Export {
    provider: SdkTracerProvider,
    delivery: Arc<Delivery>,
}

impl Export {
    /// `Err` says what is wrong with the settings; a collector that cannot be reached is none of that.
    pub(crate) fn start(settings: &TraceSettings, resource: &BTreeMap<String, String>) -> Result<Self, String> {
        settings.headers.secrets().for_each(hide_for_ever);
        let delivery = Arc::new(Delivery::new(&settings.endpoint, settings.queue_spans));
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new(settings, Arc::clone(&delivery))?)
            .with_endpoint(&settings.endpoint)
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(settings.timeout)
            .build()
            .map_err(|error| error.to_string())?;
        let exporter = clean::Exporter::new(exporter, Arc::clone(&delivery));
        // What is not set here comes from OTEL_BSP_*, the sampler from OTEL_TRACES_SAMPLER.
        let gathering = BatchConfigBuilder::default().with_max_queue_size(settings.queue_spans).build();
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(gathering).build();
        let attributes =
            resource.iter().map(|(name, value)| KeyValue::new(name.clone(), redact_field(name, value).into_owned()));
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BoundedQueue::new(processor, Arc::clone(&delivery)))
            .with_resource(Resource::builder().with_attributes(attributes).build())
            .build();
        Ok(Self { provider, delivery })
    }

    pub(crate) fn tracer(&self) -> SdkTracer {
        self.provider.tracer("dspex")
    }

    /// Sends what is left, for at most `limit`.
    pub(crate) fn shutdown(&self, limit: Duration) {
        // Whether it came to an end in time is seen by what is left.
        let _ = self.provider.shutdown_with_timeout(limit);
        let left = self.delivery.waiting();
        if left > 0 {
            self.delivery.lost(Loss::Shutdown, left, "the node ended before they were delivered");
        }
    }
}
