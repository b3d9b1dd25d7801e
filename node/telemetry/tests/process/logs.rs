//! What stands in the log of a process.

use dspex_telemetry::span;
use serde_json::Value;

use crate::collector::{Collector, Manner};
use crate::node::{Said, act};

pub(crate) fn log() {
    span!("run", run = "r-1").in_scope(|| {
        tracing::info!(n = 1, "within");
        tracing::info_span!("for the log alone").in_scope(|| tracing::warn!("deeper"));
    });
    tracing::info!("without");
    log::warn!(target: "a_library", "password=hunter2");
    tracing::debug!("more than was asked for");
}

fn lines(said: &Said) -> Vec<Value> {
    said.log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn line(lines: &[Value], message: &str) -> Value {
    lines.iter().find(|line| line["message"] == message).unwrap_or_else(|| panic!("no {message} in {lines:?}")).clone()
}

#[test]
fn json_lines_carry_the_trace_that_was_exported() {
    for filter in [("LOG_LEVEL", "info"), ("RUST_LOG", "process=info")] {
        let collector = Collector::start(Manner::Takes);
        let said = act("log", &[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint), ("LOG_FORMAT", "json"), filter]);
        let lines = lines(&said);
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let span = collector.span("run");
        for message in ["within", "deeper"] {
            let line = line(&lines, message);
            assert_eq!(line["trace_id"], hex(&span.trace_id), "{line}");
            assert_eq!(line["span_id"], hex(&span.span_id), "{line}");
            assert_eq!(line["spans"][0], serde_json::json!({"name": "run", "fields": {"run": "r-1"}}));
        }
        assert!(line(&lines, "without").get("trace_id").is_none());
        assert!(!said.log.contains("more than was asked for"));
    }
}

#[test]
fn without_an_exporter_lines_are_the_same_but_for_the_trace() {
    let said = act("log", &[("PRETTY_LOGS", "false"), ("LOG_LEVEL", "debug")]);
    let lines = lines(&said);
    assert_eq!(line(&lines, "within")["fields"]["n"], 1);
    assert!(line(&lines, "within").get("trace_id").is_none());
    assert_eq!(line(&lines, "deeper")["spans"][0]["name"], "for the log alone");
    assert_eq!(line(&lines, "more than was asked for")["level"], "DEBUG");
    let of_library = line(&lines, "password=[redacted]");
    assert_eq!((&of_library["target"], of_library.get("fields")), (&Value::from("a_library"), None));
}

#[test]
fn people_get_lines_for_people_and_are_told_what_is_not_understood() {
    let said = act("log", &[("RUST_LOG", "info,=broken=="), ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317")]);
    assert!(said.log.contains(" INFO process::logs: without\n"), "{}", said.log);
    assert!(said.log.contains("RUST_LOG cannot be understood"), "{}", said.log);
    assert!(said.log.contains("no spans are exported"), "{}", said.log);
    assert_eq!(act("log", &[("LOG_LEVEL", "off")]).log, "");
}
