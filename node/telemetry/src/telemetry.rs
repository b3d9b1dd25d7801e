//! Telemetry of a process, from its start to its end.

use std::time::{Duration, Instant};

use tracing::{Level, Metadata, info, warn};
use tracing_subscriber::filter::{FilterExt, FilterFn, LevelFilter, filter_fn};
use tracing_subscriber::layer::{Filter, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::error::Error;
use crate::export::Export;
use crate::log::{LogLayer, standard_error};
use crate::metrics::{Exposition, render};
use crate::settings::{LOG_FILTER_DEFAULT, Settings};
use crate::trace_context::TRACE_TARGET;

/// Logs, spans and metrics of this process. There is one; [`Telemetry::shutdown`] ends it.
pub struct Telemetry {
    export: Option<Export>,
    _exposition: Exposition,
}

impl Telemetry {
    /// Starts logging to standard error, the export of spans if it is asked for, and the recording of metrics. Needs no runtime.
    pub fn start(mut settings: Settings) -> Result<Self, Error> {
        let exposition = Exposition::install()?;
        let filter = EnvFilter::try_new(&settings.log_filter).unwrap_or_else(|error| {
            settings.warnings.push(format!("RUST_LOG cannot be understood: {error}; {LOG_FILTER_DEFAULT:?} is used"));
            EnvFilter::new(LOG_FILTER_DEFAULT)
        });
        let export = settings.traces.as_ref().and_then(|traces| {
            Export::start(traces, &settings.resource)
                .map_err(|why| settings.warnings.push(format!("no spans are exported: {why}")))
                .ok()
        });
        let log = LogLayer::new(settings.log_format, settings.color, standard_error());
        install(log, filter, export.as_ref()).map_err(|()| Error::AlreadyStarted)?;
        for warning in &settings.warnings {
            warn!("{warning}");
        }
        if let (Some(_), Some(traces)) = (&export, &settings.traces) {
            info!(endpoint = %traces.endpoint, headers = ?traces.headers, "Spans are exported");
        }
        Ok(Self { export, _exposition: exposition })
    }

    /// All metrics in the text format of Prometheus.
    #[must_use]
    pub fn render(&self) -> String {
        render()
    }

    /// Whether spans are exported.
    #[must_use]
    pub fn exports_spans(&self) -> bool {
        self.export.is_some()
    }

    /// Sends the spans that wait, for at most `limit`; what is not delivered by then is counted and warned of. Blocks: not to be
    /// called on a thread of an async runtime. Logging goes on.
    pub fn shutdown(self, limit: Duration) {
        let Some(export) = self.export else { return };
        let begun = Instant::now();
        export.shutdown(limit);
        tracing::debug!(took_ms = begun.elapsed().as_millis(), "the export of spans has ended");
    }
}

/// Without an export there is no layer for it, and spans under its target are disabled where they are made.
fn install(log: LogLayer, filter: EnvFilter, export: Option<&Export>) -> Result<(), ()> {
    match export {
        None => {
            let filter = FilterExt::and(without_actors(filter), filter_fn(|metadata| !is_trace(metadata)));
            Registry::default().with(log.with_filter(filter)).try_init().map_err(|_| ())
        }
        Some(export) => {
            let spans = tracing_opentelemetry::layer()
                .with_tracer(export.tracer())
                .with_location(false)
                .with_threads(false)
                .with_target(false)
                .with_level(false)
                .with_tracked_inactivity(false)
                .with_filter(exported());
            // Log lines say in which span they were written, whatever RUST_LOG says of spans.
            let filter = FilterExt::or(without_actors(filter), only_spans());
            Registry::default().with(spans).with(log.with_filter(filter)).try_init().map_err(|_| ())
        }
    }
}

/// No spans of the actors' library, which has one for each actor: they would stand before every line that an actor logs, name it by a
/// number that is nowhere else, and be entered and left with every message.
pub(crate) fn without_actors<S: 'static>(filter: EnvFilter) -> impl Filter<S> + Send + Sync + 'static {
    let is_of_actors = |metadata: &Metadata<'_>| metadata.is_span() && metadata.target().starts_with("ractor");
    FilterExt::and(filter, filter_fn(move |metadata| !is_of_actors(metadata)))
}

fn is_trace(metadata: &Metadata<'_>) -> bool {
    metadata.target() == TRACE_TARGET
}

/// Our spans, and what is logged as a warning or an error within them.
fn exported() -> FilterFn {
    let wanted = |metadata: &Metadata<'_>| {
        if metadata.is_span() { is_trace(metadata) } else { *metadata.level() <= Level::WARN }
    };
    filter_fn(wanted as fn(&Metadata<'_>) -> bool).with_max_level_hint(LevelFilter::INFO)
}

fn only_spans() -> FilterFn {
    let wanted = |metadata: &Metadata<'_>| metadata.is_span() && is_trace(metadata);
    filter_fn(wanted as fn(&Metadata<'_>) -> bool).with_max_level_hint(LevelFilter::INFO)
}
