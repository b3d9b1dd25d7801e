//! The text that Prometheus reads.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dspex_telemetry::{Kind, names};

use crate::node::act;

pub(crate) fn record() {
    for n in 0..150 {
        names::LLM_REQUESTS.with(["openai", &format!("model-{n:03}")]).increment(1);
    }
    names::LLM_REQUESTS.with(["openai", "model-000"]).increment(41);
    let cost = names::LLM_COST.with(["openai", "model \"quoted\"\\\n"]);
    cost.add(0.25);
    cost.add(0.5);
    cost.add(-1.0);
    cost.add(f64::NAN);
    let duration = names::EXECUTION_DURATION.with(["finished"]);
    duration.record(Duration::from_millis(1500));
    duration.record(0.05);
    names::POOL_WORKERS.with(["general", "busy"]).set(3.0);
    names::BLOB_BYTES.with([]).set(4096.0);
    names::GEN_AI_TOKEN_USAGE.with(["chat", "openai", "gpt-4o", "input"]).record(17.0);
    names::GEN_AI_OPERATION_DURATION.record(["chat", "openai", "gpt-4o", ""], Duration::from_millis(30));
    let cache = names::cache("lm");
    cache.hit();
    cache.hit();
    cache.hit();
    cache.miss();
    names::PYTHON_CALLS.with(["my_key=Zq9secret"]).increment(1);
}

fn text() -> String {
    let said = act("metrics", &[]);
    let metrics = said
        .out
        .lines()
        .filter(|line| line.starts_with("# ") || line.starts_with("dspex_") || line.starts_with("gen_ai_"));
    metrics.map(|line| format!("{line}\n")).collect()
}

#[test]
fn numbers_are_told_under_their_names() {
    let text = text();
    for line in [
        "dspex_llm_request_count_total{provider=\"openai\",model=\"model-000\"} 42",
        "dspex_llm_request_count_total{provider=\"openai\",model=\"other\"} 50",
        "# TYPE dspex_llm_cost_usd_total counter",
        "dspex_llm_cost_usd_total{provider=\"openai\",model=\"other\"} 0.75",
        "# TYPE dspex_execution_duration_seconds histogram",
        "dspex_execution_duration_seconds_bucket{status=\"finished\",le=\"0.1\"} 1",
        "dspex_execution_duration_seconds_bucket{status=\"finished\",le=\"+Inf\"} 2",
        "dspex_execution_duration_seconds_sum{status=\"finished\"} 1.55",
        "dspex_execution_duration_seconds_count{status=\"finished\"} 2",
        "dspex_pool_workers{pool=\"general\",state=\"busy\"} 3",
        "dspex_storage_blob_bytes 4096",
        "dspex_cache_hit_rate{cache_name=\"lm\"} 0.75",
        "dspex_cache_hit_total{cache_name=\"lm\"} 3",
        "dspex_python_call_count_total{function=\"my_key=[redacted]\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
    }
    assert!(text.contains("gen_ai_client_token_usage_bucket{gen_ai_operation_name=\"chat\""), "{text}");
    assert!(text.contains("gen_ai_client_operation_duration_seconds_bucket{"), "{text}");
    let models = text.lines().filter(|line| line.starts_with("dspex_llm_request_count_total{")).count();
    assert_eq!(models, 101);
}

/// The rules of the text format: each family is described once, before its samples, which have its name.
#[test]
fn the_text_keeps_to_the_format() {
    let text = text();
    let known: BTreeMap<&str, Kind> = names::table().map(|metric| (metric.exposed, metric.kind)).collect();
    let (mut helped, mut typed) = (BTreeSet::new(), BTreeSet::new());
    let mut family = "";
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect("a text");
            assert!(!help.is_empty() && helped.insert(name), "{line}");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a kind");
            assert!(helped.contains(name) && typed.insert(name), "{line}");
            assert_eq!(kind, format!("{:?}", known[name]).to_lowercase(), "{line}");
            family = name;
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let name = series.split('{').next().expect("a name");
            let of_histogram = ["_bucket", "_sum", "_count"].iter().any(|part| name == format!("{family}{part}"));
            assert!(if known[family] == Kind::Histogram { of_histogram } else { name == family }, "{line}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            if let Some(labels) = series.strip_prefix(name).filter(|labels| !labels.is_empty()) {
                assert!(labels.starts_with('{') && labels.ends_with("\"}"), "{line}");
            }
        }
    }
    assert!(typed.len() > 10, "{typed:?}");
}
