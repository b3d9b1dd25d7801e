use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use serde_json::Value;
use tracing::{error, info, info_span, warn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Registry};

use super::*;
use crate::redaction::REDACTED;
use crate::telemetry::without_actors;

/// What is logged while `act` runs.
fn logged(format: LogFormat, act: impl FnOnce()) -> String {
    logged_by(format, |layer| tracing::subscriber::with_default(Registry::default().with(layer), act))
}

fn logged_by(format: LogFormat, act: impl FnOnce(LogLayer)) -> String {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    let layer =
        LogLayer::new(format, false, Box::new(move |line| sink.lock().expect("unbroken").extend_from_slice(line)));
    act(layer);
    let lines = lines.lock().expect("unbroken");
    String::from_utf8(lines.clone()).expect("text")
}

fn json(act: impl FnOnce()) -> Value {
    let text = logged(LogFormat::Json, act);
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

#[derive(Debug, thiserror::Error)]
#[error("the call failed")]
struct CallFailed(#[source] Refused);

#[derive(Debug, thiserror::Error)]
#[error("refused password={0}")]
struct Refused(String);

#[test]
fn a_json_line_says_when_what_and_where() {
    let line = json(|| {
        let span = info_span!("outer", run = 7, later = tracing::field::Empty);
        span.record("later", "known");
        let _outer = span.entered();
        let _inner = info_span!("inner").entered();
        info!(target: "here", n = 3, share = 0.5, ok = true, r#type = "a\nb", "it {}", "happened");
    });
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["target"], "here");
    assert_eq!(line["message"], "it happened");
    assert_eq!(line["fields"], serde_json::json!({"n": 3, "share": 0.5, "ok": true, "type": "a\nb"}));
    assert_eq!(
        line["spans"],
        serde_json::json!([{"name": "outer", "fields": {"run": 7, "later": "known"}}, {"name": "inner"}])
    );
    let time = line["timestamp"].as_str().expect("text");
    assert!(time.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(time).is_ok(), "{time}");
    assert!(line.get("trace_id").is_none(), "nothing is exported");
}

#[test]
fn a_pretty_line_reads_from_left_to_right() {
    let text = logged(LogFormat::Pretty, || {
        let _span = info_span!("outer", run = 7).entered();
        warn!(target: "here", n = 3, "it \x1b[31mhappened");
    });
    let (_, rest) = text.split_once("Z ").expect("a time");
    assert_eq!(rest, "  WARN outer{run=7}: here: it \\u{1b}[31mhappened n=3\n");
}

#[test]
fn errors_are_told_with_their_causes() {
    let error: &(dyn std::error::Error + 'static) = &CallFailed(Refused("hunter2".to_owned()));
    let line = json(|| error!(error, "x"));
    assert_eq!(line["fields"]["error"], "the call failed: refused password=[redacted]");
}

#[test]
fn no_secret_is_logged_whichever_way_it_comes() {
    let secret = "Zq9-planted-4711";
    let act = || {
        let span = info_span!("outer", api_key = secret, header = %format!("Bearer {secret}"));
        let _outer = span.entered();
        let error: &(dyn std::error::Error + 'static) = &CallFailed(Refused(secret.to_owned()));
        error!(password = secret, details = ?("api_key", secret), error, "connecting to redis://me:{secret}@host");
    };
    for format in [LogFormat::Json, LogFormat::Pretty] {
        let text = logged(format, act);
        assert!(text.contains(REDACTED) && !text.contains(secret), "{text}");
    }
    // The control: under harmless names the same value is there, so it would have been seen.
    let text = logged(LogFormat::Json, || info!(name = secret, "n"));
    assert!(text.contains(secret));
}

#[test]
fn numbers_under_secret_names_are_secret_and_counts_of_tokens_are_not() {
    let line = json(|| info!(password = 123_456, max_tokens = 5, token = 3, "n"));
    assert_eq!(line["fields"], serde_json::json!({"password": REDACTED, "max_tokens": 5, "token": 3}));
}

proptest! {
    #[test]
    fn every_line_is_json_whatever_is_logged(message in "\\PC{0,40}|[\\x00-\\x7f]{0,40}", value in "[\\x00-\\x7f\"\\\\]{0,40}", number: f64) {
        let line = json(|| info!(value, number, "{message}"));
        prop_assert!(line["fields"]["number"].is_number() || line["fields"]["number"].is_string());
    }
}

#[test]
fn a_line_of_an_actor_does_not_begin_with_the_actor_s_number() {
    let lines = logged_by(LogFormat::Pretty, |layer| {
        let layer = layer.with_filter(without_actors(EnvFilter::new("trace")));
        tracing::subscriber::with_default(Registry::default().with(layer), || {
            let _actor = info_span!(target: "ractor::actor", "Actor", id = "0.7").entered();
            let _run = info_span!("run", number = 3).entered();
            info!("begins");
        });
    });
    assert!(lines.contains("run{number=3}") && !lines.contains("Actor"), "{lines}");
}
