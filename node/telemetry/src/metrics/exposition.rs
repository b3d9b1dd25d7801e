//! The recorder, and its text for Prometheus. Who serves the text is not decided here.

use std::sync::OnceLock;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::Kind;
use crate::error::Error;
use crate::names;

/// What is recorded in histograms waits in memory until this.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// The installed recorder, with the thread that keeps it small.
#[derive(Debug)]
pub(crate) struct Exposition {
    end: Option<Sender<()>>,
    upkeep: Option<JoinHandle<()>>,
}

impl Exposition {
    pub(crate) fn install() -> Result<Self, Error> {
        let mut builder = PrometheusBuilder::new();
        for metric in names::table().filter(|metric| metric.kind == Kind::Histogram) {
            builder = builder
                .set_buckets_for_metric(Matcher::Full(metric.exposed.to_owned()), metric.buckets.0)
                .map_err(|error| Error::Metrics(error.to_string()))?;
        }
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        ::metrics::set_global_recorder(recorder).map_err(|_| Error::AlreadyStarted)?;
        // There is one recorder, so there is one handle.
        let _ = HANDLE.set(handle.clone());
        names::describe_all();
        let (end, ended) = channel::<()>();
        let upkeep = std::thread::Builder::new()
            .name("metrics-upkeep".to_owned())
            .spawn(move || {
                while ended.recv_timeout(UPKEEP_EVERY) == Err(RecvTimeoutError::Timeout) {
                    handle.run_upkeep();
                }
            })
            .map_err(|error| Error::Metrics(error.to_string()))?;
        Ok(Self { end: Some(end), upkeep: Some(upkeep) })
    }
}

impl Drop for Exposition {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(upkeep) = self.upkeep.take() {
            // It has nothing to say.
            let _ = upkeep.join();
        }
    }
}

/// All metrics in the text format of Prometheus, version 0.0.4 (`text/plain; version=0.0.4`). Empty before the start.
#[must_use]
pub fn render() -> String {
    let text = HANDLE.get().map(PrometheusHandle::render).unwrap_or_default();
    // Sums are recorded as gauges, see `Sums`.
    names::sums().fold(text, |text, sum| {
        text.replace(&format!("# TYPE {} gauge\n", sum.exposed), &format!("# TYPE {} counter\n", sum.exposed))
    })
}
