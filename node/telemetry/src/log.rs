//! The log layer: one line for each event, without secrets, with the ids of the span that it happened in.
//!
//! It is written here and not taken from tracing-subscriber because a secret is told by its field's name, which is gone once a
//! line has been put together.

mod fields;
mod json;
mod pretty;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::sync::OnceLock;
use std::time::SystemTime;

use opentelemetry::trace::{SpanContext, TraceContextExt};
use tracing::dispatcher::WeakDispatch;
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, Scope};

use self::fields::Fields;
use crate::settings::LogFormat;

/// Where finished lines go.
pub(crate) type Sink = Box<dyn Fn(&[u8]) + Send + Sync>;

/// Standard error. A line that cannot be written is lost: there is nowhere to say so.
pub(crate) fn standard_error() -> Sink {
    Box::new(|line| {
        let _ = std::io::stderr().lock().write_all(line);
    })
}

/// Writes each event as a line.
pub(crate) struct LogLayer {
    format: LogFormat,
    color: bool,
    sink: Sink,
    /// The subscriber that this layer is a part of, which knows the trace of each span.
    dispatch: OnceLock<WeakDispatch>,
}

/// All that a line says.
struct Line<'a> {
    time: SystemTime,
    level: tracing::Level,
    target: &'a str,
    message: Option<&'a str>,
    fields: &'a Fields,
    /// Outermost first.
    spans: &'a [(&'static str, Fields)],
    trace: Option<&'a SpanContext>,
}

impl LogLayer {
    pub(crate) fn new(format: LogFormat, color: bool, sink: Sink) -> Self {
        Self { format, color, sink, dispatch: OnceLock::new() }
    }

    /// The innermost span of `scope` that belongs to a trace.
    fn trace<'a, R: LookupSpan<'a>>(&self, scope: Scope<'a, R>) -> Option<SpanContext> {
        let dispatch = self.dispatch.get()?.upgrade()?;
        scope
            .filter_map(|span| tracing_opentelemetry::get_otel_context(&span.id(), &dispatch))
            .map(|context| context.span().span_context().clone())
            .find(SpanContext::is_valid)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        // A layer has one subscriber.
        let _ = self.dispatch.set(dispatch.downgrade());
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let trace = context.event_scope(event).and_then(|scope| self.trace(scope));
        let spans: Vec<(&'static str, Fields)> = context
            .event_scope(event)
            .into_iter()
            .flat_map(Scope::from_root)
            .map(|span| (span.name(), span.extensions().get::<Fields>().cloned().unwrap_or_default()))
            .collect();
        let metadata = event.metadata();
        let line = Line {
            time: SystemTime::now(),
            level: *metadata.level(),
            target: fields.log_target().unwrap_or(metadata.target()),
            message: fields.message(),
            fields: &fields,
            spans: &spans,
            trace: trace.as_ref(),
        };
        let text = match self.format {
            LogFormat::Json => json::write(&line),
            LogFormat::Pretty => pretty::write(&line, self.color),
        };
        (self.sink)(text.as_bytes());
    }
}

/// RFC 3339 in UTC, to the microsecond.
fn timestamp(time: SystemTime) -> String {
    chrono::DateTime::<chrono::Utc>::from(time).to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}
