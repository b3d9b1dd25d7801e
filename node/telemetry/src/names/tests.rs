use std::collections::BTreeSet;

use super::*;
use crate::metrics::Kind;

#[test]
fn names_are_exposed_by_rule() {
    for metric in table() {
        let mut expected = metric.name.replace('.', "_");
        if metric.unit == "seconds" {
            expected.push_str("_seconds");
        }
        if metric.kind == Kind::Counter && !expected.ends_with("_total") {
            expected.push_str("_total");
        }
        assert_eq!(metric.exposed, expected);
        assert!(metric.name.starts_with("dspex.") || metric.name.starts_with("gen_ai."), "{}", metric.name);
        assert!(metric.name.chars().all(|letter| letter.is_ascii_lowercase() || matches!(letter, '.' | '_')));
        assert!(!metric.help.is_empty() && !metric.help.ends_with('.'), "{}", metric.name);
        assert_eq!(metric.kind == Kind::Histogram, !metric.buckets.0.is_empty(), "{}", metric.name);
        assert!(metric.buckets.0.is_sorted(), "{}", metric.name);
    }
}

#[test]
fn no_metric_is_there_twice() {
    let names: BTreeSet<&str> = table().map(|metric| metric.name).collect();
    assert_eq!(names.len(), table().count());
}

#[test]
fn the_metrics_of_our_documents_are_there() {
    let names: BTreeSet<&str> = table().map(|metric| metric.name).collect();
    for name in [
        "dspex.execution.count",
        "dspex.execution.duration",
        "dspex.llm.request.count",
        "dspex.llm.request.duration",
        "dspex.llm.tokens.total",
        "dspex.llm.cost.usd",
        "dspex.cache.hit",
        "dspex.cache.miss",
        "dspex.cache.hit_rate",
        "dspex.python.call.count",
        "dspex.python.call.duration",
        "dspex.python.error.count",
        "dspex.pool.requests",
        "dspex.pool.worker.checkout",
        "dspex.pool.worker.return",
        "gen_ai.client.token.usage",
        "gen_ai.client.operation.duration",
    ] {
        assert!(names.contains(name), "{name}");
    }
}
