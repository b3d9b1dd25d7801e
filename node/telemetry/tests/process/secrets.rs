//! Secrets planted wherever one could get out, and a control that shows that they would be seen.

use dspex_telemetry::span;

use crate::collector::{Collector, Manner, attributes};
use crate::node::{Said, act};

/// Told by its name, by its shape, by its place in a URL, and only by the variable that it comes from.
const BY_NAME: &str = "planted-by-name-4711";
const BY_SHAPE: &str = "sk-proj-Planted0By0Shape0";
const BY_PLACE: &str = "planted-by-place-4711";
const BY_VARIABLE: &str = "plain words from a variable";

#[derive(Debug, thiserror::Error)]
#[error("could not log in with {0}")]
struct LoginFailed(String);

pub(crate) fn tell() {
    let told = std::env::var("TOLD").expect("what to tell");
    let url = format!("postgres://me:{BY_PLACE}@host/db");
    let span = span!(
        "a call",
        api_key = BY_NAME,
        note = %told,
        url = %url,
        header = %format!("Bearer {BY_SHAPE}"),
        otel.status_message = %format!("refused {BY_SHAPE}"),
        max_tokens = 5,
        control = BY_NAME,
        otel.name = %format!("a call of {BY_SHAPE}"),
    );
    span.in_scope(|| {
        let error: &(dyn std::error::Error + 'static) = &LoginFailed(format!("password={BY_NAME}, {told}"));
        tracing::error!(error, token = BY_NAME, "{BY_SHAPE} was refused by {url}: {told}");
        tracing::warn!(message = %format!("{told} {BY_SHAPE}"));
    });
}

fn told(variables: &[(&str, &str)]) -> (Said, String, Collector) {
    let collector = Collector::start(Manner::Takes);
    let mut all = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint.as_str()), ("TOLD", BY_VARIABLE)];
    all.extend_from_slice(variables);
    let said = act("secrets", &all);
    let exported =
        collector.requests().iter().map(|request| String::from_utf8_lossy(&request.body).into_owned()).collect();
    (said, exported, collector)
}

#[test]
fn planted_secrets_are_in_neither_logs_nor_spans() {
    for format in ["json", "pretty"] {
        let (said, exported, collector) = told(&[("LOG_FORMAT", format), ("SOME_API_KEY", BY_VARIABLE)]);
        for (place, text) in [("log", &said.log), ("spans", &exported)] {
            assert!(text.contains("[redacted]"), "{place}: {text}");
            for secret in [BY_SHAPE, BY_PLACE, BY_VARIABLE] {
                assert!(!text.contains(secret), "{secret} is in the {place}: {text}");
            }
            let planted = text.matches(BY_NAME).count();
            let controls = text.matches(&format!("control={BY_NAME}")).count()
                + text.matches(&format!("\"control\":\"{BY_NAME}\"")).count();
            // A span has the control once, with lengths of protobuf between name and value.
            assert_eq!(planted, if place == "spans" { 1 } else { controls }, "{place}: {text}");
            assert!(planted > 0, "the control is missing: {place}: {text}");
        }
        let span = collector.span("a call of [redacted]");
        let values = attributes(&span.attributes);
        assert_eq!((values["api_key"].as_str(), values["max_tokens"].as_str()), ("[redacted]", "5"));
        assert_eq!(values["url"], "postgres://me:[redacted]@host/db");
        assert_eq!(values["control"], BY_NAME);
        assert!(span.events.len() == 2, "{:?}", span.events);
    }
}

#[test]
fn the_control_without_a_secret_variable_the_same_words_are_told() {
    let (said, exported, _) = told(&[("LOG_FORMAT", "json"), ("SOME_NOTE", BY_VARIABLE)]);
    assert!(said.log.contains(BY_VARIABLE) && exported.contains(BY_VARIABLE), "{}", said.log);
}
