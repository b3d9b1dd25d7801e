//! The spans of a run and of its examples. Nothing is made unless spans are exported.

use std::collections::HashMap;

use dspex_model::{ExecutedExample, RunId};
use dspex_python::protocol::ExampleResult;
use dspex_telemetry::{TRACE_TARGET, set_parent, span, span_traceparent};
use tracing::Span;
use tracing::field::Empty;

/// The span of one stretch of a run, and those of the examples under way.
pub(super) struct Spans {
    run: Span,
    examples: HashMap<u32, Span>,
}

impl Spans {
    pub(super) fn new(run: RunId, program: &str, metric: &str, examples: u32, traceparent: Option<&str>) -> Self {
        let span = span!(
            "dspex.run",
            otel.kind = "server",
            dspex.run = %run,
            dspex.program = program,
            dspex.metric = metric,
            dspex.examples = examples,
        );
        if let Some(traceparent) = traceparent {
            set_parent(&span, traceparent);
        }
        Self { run: span, examples: HashMap::new() }
    }

    /// An example is given to a worker; its trace context, for what user code opens.
    pub(super) fn begin(&mut self, index: u32, attempt: u32, worker: &str) -> Option<String> {
        if self.run.is_disabled() {
            return None;
        }
        let span = self.run.in_scope(|| {
            span!(
                "dspex.example",
                dspex.example = index,
                dspex.attempt = attempt,
                dspex.worker = worker,
                dspex.score = Empty,
                gen_ai.usage.input_tokens = Empty,
                gen_ai.usage.output_tokens = Empty,
            )
        });
        let traceparent = span_traceparent(&span);
        self.examples.insert(index, span);
        traceparent
    }

    /// An example has a result that another node has.
    pub(super) fn end_remote(&mut self, example: &ExecutedExample) {
        let Some(span) = self.examples.remove(&example.index) else { return };
        span.record("dspex.score", example.score);
        if let Some((input, output)) = example.tokens {
            span.record("gen_ai.usage.input_tokens", input);
            span.record("gen_ai.usage.output_tokens", output);
        }
        if let Some((exception, message)) = &example.failure {
            span.in_scope(|| tracing::error!(target: TRACE_TARGET, exception, "{message}"));
        }
    }

    /// An example has a result.
    pub(super) fn end(&mut self, index: u32, result: &ExampleResult) {
        let Some(span) = self.examples.remove(&index) else { return };
        span.record("dspex.score", result.score);
        if let Some(usage) = &result.usage {
            let total = |kind: &str| usage.values().filter_map(|kinds| kinds.get(kind)).sum::<i64>();
            span.record("gen_ai.usage.input_tokens", total("prompt_tokens"));
            span.record("gen_ai.usage.output_tokens", total("completion_tokens"));
        }
        if let Some(failure) = &result.failure {
            span.in_scope(|| {
                tracing::error!(target: TRACE_TARGET, exception = failure.exception, "{}", failure.message);
            });
        }
    }
}
