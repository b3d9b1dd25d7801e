//! The trace that something belongs to, as the text that is passed on: `traceparent` of W3C Trace Context.

use std::fmt;
use std::str::FromStr;

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The target of spans that are exported. All others exist for the log alone.
pub const TRACE_TARGET: &str = "dspex::trace";

const SAMPLED: u8 = 1;

/// Makes a span that is exported: `span!("run", run = %id)`.
///
/// It takes what `tracing::info_span!` takes. `otel.name`, `otel.kind` (`server`, `client`, `producer`, `consumer`),
/// `otel.status_code` (`ok`, `error`) and `otel.status_message` have the meaning that they have for OpenTelemetry; a field that
/// is known later is declared as `tracing::field::Empty`. Unless spans are exported it is disabled and costs the look at a flag.
#[macro_export]
macro_rules! span {
    ($($arguments:tt)+) => {
        $crate::tracing::info_span!(target: "dspex::trace", $($arguments)+)
    };
}

/// A parsed `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace; not zero.
    pub trace_id: [u8; 16],
    /// The span in it that is the parent; not zero.
    pub span_id: [u8; 8],
    /// Flags; bit 0 says that the trace is exported.
    pub flags: u8,
}

/// The text is not a `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent of W3C Trace Context, such as 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
pub struct NotATraceParent;

impl TraceParent {
    /// Whether the trace is exported by who made it.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

impl FromStr for TraceParent {
    type Err = NotATraceParent;

    fn from_str(text: &str) -> Result<Self, NotATraceParent> {
        let mut parts = text.split('-');
        let mut part = || parts.next().ok_or(NotATraceParent);
        let (version, trace_id, span_id, flags) = (part()?, part()?, part()?, part()?);
        let [version] = bytes(version)?;
        // Version ff is forbidden; later ones may say more after the flags, this one may not.
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return Err(NotATraceParent);
        }
        let (trace_id, span_id, [flags]) = (bytes(trace_id)?, bytes(span_id)?, bytes(flags)?);
        if trace_id == [0; 16] || span_id == [0; 8] {
            return Err(NotATraceParent);
        }
        Ok(Self { trace_id, span_id, flags })
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, span) = (u128::from_be_bytes(self.trace_id), u64::from_be_bytes(self.span_id));
        write!(formatter, "00-{trace:032x}-{span:016x}-{:02x}", self.flags)
    }
}

/// The `traceparent` of the span that this is called in, if it is exported or could have been.
#[must_use]
pub fn current_traceparent() -> Option<String> {
    span_traceparent(&Span::current())
}

/// The `traceparent` that makes something else a child of `span`. `None` where spans are not exported.
#[must_use]
pub fn span_traceparent(span: &Span) -> Option<String> {
    let context = span.context();
    let found = context.span().span_context().clone();
    found.is_valid().then(|| {
        let parent = TraceParent {
            trace_id: found.trace_id().to_bytes(),
            span_id: found.span_id().to_bytes(),
            flags: found.trace_flags().to_u8(),
        };
        parent.to_string()
    })
}

/// Makes `span` a child of what `traceparent` names. To be called before the span is entered or has children; text that is not
/// a `traceparent` changes nothing, and neither does a call that comes too late or where spans are not exported.
pub fn set_parent(span: &Span, traceparent: &str) {
    let Ok(parent) = traceparent.parse::<TraceParent>() else { return };
    let parent = SpanContext::new(
        TraceId::from_bytes(parent.trace_id),
        SpanId::from_bytes(parent.span_id),
        TraceFlags::new(parent.flags),
        true,
        TraceState::default(),
    );
    // A span that is not exported has no parent.
    let _ = span.set_parent(Context::new().with_remote_span_context(parent));
}

/// Lower-case hexadecimal digits, exactly as many as there must be.
fn bytes<const N: usize>(text: &str) -> Result<[u8; N], NotATraceParent> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N || !digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(NotATraceParent);
    }
    let mut bytes = [0; N];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).map_err(|_| NotATraceParent)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_the_standard_forbids_is_refused() {
        assert!(EXAMPLE.parse::<TraceParent>().is_ok_and(|parent| parent.is_sampled()));
        assert!("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later".parse::<TraceParent>().is_ok());
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-é1",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(bad.parse::<TraceParent>(), Err(NotATraceParent), "{bad}");
        }
    }

    #[test]
    fn without_an_exporter_there_is_no_trace() {
        let span = crate::span!("a span", n = 1);
        set_parent(&span, EXAMPLE);
        set_parent(&span, "nonsense");
        assert_eq!((span_traceparent(&span), current_traceparent()), (None, None));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(trace in 1_u128.., span in 1_u64.., flags: u8) {
            let parent = TraceParent { trace_id: trace.to_be_bytes(), span_id: span.to_be_bytes(), flags };
            prop_assert_eq!(parent.to_string().parse(), Ok(parent));
        }

        #[test]
        fn any_text_is_survived(text in "\\PC{0,60}") {
            let _ = text.parse::<TraceParent>();
        }
    }
}
