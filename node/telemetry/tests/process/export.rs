//! What a collector gets, and what happens where there is none.

use std::time::{Duration, Instant};

use dspex_telemetry::{Telemetry, current_traceparent, set_parent, span, span_traceparent};
use tracing::{Instrument, Span};

use crate::collector::{Collector, Manner, attributes};
use crate::node::act;

const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A tree of spans below one of somebody else.
pub(crate) fn tree() {
    let root = span!("run", run = "r-1", examples = 3, share = 0.5, otel.kind = "server", done = tracing::field::Empty);
    set_parent(&root, "nonsense");
    set_parent(&root, CALLER);
    println!("root={}", span_traceparent(&root).expect("spans are exported"));
    root.in_scope(|| {
        println!("current={}", current_traceparent().expect("spans are exported"));
        span!("inner").in_scope(|| tracing::error!(code = 7, "it broke"));
        tracing::info!("too small a thing for a span's events");
        tracing::info_span!("for the log alone").in_scope(|| span!("innermost").in_scope(|| ()));
    });
    root.record("done", true);
    let aside = span!(parent: &root, "aside");
    drop(aside);
}

pub(crate) fn two_spans() {
    span!("one").in_scope(|| span!("two").in_scope(|| ()));
}

pub(crate) fn many_spans() {
    let begun = Instant::now();
    let disabled = (0..1000).filter(|n| span!("one of many", n).in_scope(|| Span::current().is_disabled())).count();
    println!("many_ms={}", begun.elapsed().as_millis());
    println!("disabled={disabled}");
}

/// Starts on a thread of an async runtime, where a client that blocks must not be made.
pub(crate) fn in_a_runtime(start: impl FnOnce() -> Telemetry) -> Telemetry {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let telemetry = start();
        let outer = span!("outer");
        async {
            let inner = span!("inner");
            tokio::spawn(tokio::time::sleep(Duration::from_millis(5)).instrument(inner)).await.expect("it sleeps");
        }
        .instrument(outer)
        .await;
        telemetry
    })
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}

#[test]
fn a_collector_gets_the_tree_with_what_it_says() {
    let collector = Collector::start(Manner::Takes);
    let said = act(
        "tree",
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint),
            ("OTEL_EXPORTER_OTLP_HEADERS", r#"{"x-team": "blue=1", "authorization": "Bearer collectors-own-key"}"#),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
        ],
    );
    let request = collector.requests().remove(0);
    assert_eq!(request.path, "/v1/traces");
    assert_eq!(request.headers["content-type"], "application/x-protobuf");
    assert_eq!(request.headers["x-team"], "blue=1");
    assert_eq!(request.headers["authorization"], "Bearer collectors-own-key");
    assert!(request.headers["user-agent"].starts_with("dspex/"));
    let resource = collector.resource();
    assert_eq!(
        (resource["service.name"].as_str(), resource["deployment.environment.name"].as_str()),
        ("dspex", "test")
    );

    let root = collector.span("run");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(&root.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(hex(&root.parent_span_id), "00f067aa0ba902b7");
    let expected = format!("00-{}-{}-01", hex(&root.trace_id), hex(&root.span_id));
    assert_eq!((said.value("root"), said.value("current")), (expected.as_str(), expected.as_str()));
    let values = attributes(&root.attributes);
    for (name, value) in [("run", "r-1"), ("examples", "3"), ("share", "0.5"), ("done", "true")] {
        assert_eq!(values[name], value);
    }
    assert_eq!(root.kind, 2, "a server");
    for name in ["inner", "innermost", "aside"] {
        let child = collector.span(name);
        assert_eq!((child.trace_id, child.parent_span_id), (root.trace_id.clone(), root.span_id.clone()), "{name}");
    }
    assert_eq!(collector.spans().len(), 4, "{:?}", collector.spans());
    let inner = collector.span("inner");
    assert_eq!(inner.events[0].name, "it broke");
    assert_eq!(attributes(&inner.events[0].attributes)["code"], "7");
    assert_eq!(inner.status.expect("a status").code, 2, "an error");
    assert!(root.events.is_empty(), "{:?}", root.events);
    assert!(!said.log.contains("collectors-own-key"), "{}", said.log);
    assert!(said.out.contains("dspex_telemetry_spans_exported_total 4\n"), "{}", said.out);
}

#[test]
fn the_resource_the_sampler_and_the_switches_are_those_of_opentelemetry() {
    let collector = Collector::start(Manner::Takes);
    let endpoint = format!("{}/own/path", collector.endpoint);
    act("tree", &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &endpoint), ("OTEL_SERVICE_NAME", "mine")]);
    assert_eq!(collector.requests()[0].path, "/own/path");
    assert_eq!(collector.resource()["service.name"], "mine");

    let collector = Collector::start(Manner::Takes);
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint.as_str());
    act("two spans", &[endpoint, ("OTEL_TRACES_SAMPLER", "always_off")]);
    act("two spans", &[endpoint, ("ENABLE_TRACING", "false")]);
    act("two spans", &[endpoint, ("OTEL_SDK_DISABLED", "true")]);
    assert!(collector.requests().is_empty());
    // The control: without the switches they arrive.
    act("two spans", &[endpoint]);
    assert_eq!(collector.spans().len(), 2);
}

#[test]
fn spans_are_gathered_as_the_variables_say() {
    let collector = Collector::start(Manner::Takes);
    act(
        "many spans",
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "100"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "5000"),
        ],
    );
    assert_eq!(collector.spans().len(), 1000);
    assert!(collector.requests().len() >= 10, "{}", collector.requests().len());
}

#[test]
fn without_an_endpoint_nothing_is_sent_and_spans_are_disabled() {
    let said = act("many spans", &[]);
    assert_eq!(said.value("disabled"), "1000");
    assert!(number(said.value("many_ms")) < 100, "{}", said.out);
    assert_eq!(said.log, "");
    let asked = act("many spans", &[("ENABLE_TRACING", "true")]);
    assert!(asked.log.contains("set OTEL_EXPORTER_OTLP_ENDPOINT too"), "{}", asked.log);
}

#[test]
fn a_collector_that_is_not_there_costs_spans_and_no_time() {
    // Nothing listens on a port that was just given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let said = act("many spans", &[("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://127.0.0.1:{port}"))]);
    assert!(number(said.value("shutdown_ms")) < 2000, "{}", said.out);
    assert_eq!(said.log.matches("Spans were dropped").count(), 1, "{}", said.log);
    assert_eq!(dropped(&said.out), 1000, "{}", said.out);
}

#[test]
fn a_collector_that_never_answers_holds_neither_the_node_nor_its_end() {
    let collector = Collector::start(Manner::NeverAnswers);
    let said = act(
        "many spans",
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10"),
        ],
    );
    assert!(number(said.value("many_ms")) < 2000, "{}", said.out);
    assert!((400..3000).contains(&number(said.value("shutdown_ms"))), "{}", said.out);
    assert!(said.took < Duration::from_secs(8), "the process itself did not end: {said:?}");
    assert!(said.out.contains("dspex_telemetry_spans_dropped_total{reason=\"queue_full\"} 900"), "{}", said.out);
    assert_eq!(dropped(&said.out), 1000, "each span is accounted for: {}", said.out);
}

#[test]
fn what_a_collector_refuses_is_counted() {
    for (manner, reason) in
        [(Manner::Refuses, "not_delivered"), (Manner::Redirects, "not_delivered"), (Manner::Rejects(2), "rejected")]
    {
        let collector = Collector::start(manner);
        let said = act("two spans", &[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint)]);
        let line = format!("dspex_telemetry_spans_dropped_total{{reason=\"{reason}\"}} 2\n");
        assert!(said.out.contains(&line), "{manner:?}: {}", said.out);
        assert!(said.out.contains("dspex_telemetry_spans_exported_total 0\n"), "{manner:?}: {}", said.out);
        assert_eq!(said.log.matches("Spans were dropped").count(), 1, "{}", said.log);
        assert_eq!(collector.requests().len(), 1, "it is not asked again, nor is anybody else");
    }
}

#[test]
fn it_can_be_started_on_a_thread_of_a_runtime() {
    let collector = Collector::start(Manner::Takes);
    act("in a runtime", &[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint)]);
    assert_eq!(collector.span("inner").parent_span_id, collector.span("outer").span_id);
}

#[test]
fn a_process_has_one() {
    assert!(act("again", &[]).value("again").contains("started before"));
}

/// All that were dropped, whatever the reason.
fn dropped(metrics: &str) -> u64 {
    metrics
        .lines()
        .filter(|line| line.starts_with("dspex_telemetry_spans_dropped_total{"))
        .filter_map(|line| line.rsplit(' ').next())
        .map(number)
        .sum()
}
