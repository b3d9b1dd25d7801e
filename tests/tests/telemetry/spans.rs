//! Spans of runs and calls, and the user's own beneath them.

use std::time::Duration;

use dspex_tests::Home;
use dspex_tests::Project;
use dspex_tests::holds_within;
use dspex_tests::{Collector, Span};

const TRACED: &str = r#"
from opentelemetry import trace

tracer = trace.get_tracer("user")

class Traced(dspy.Module):
    def forward(self, n):
        span = trace.get_current_span().get_span_context()
        return dspy.Prediction(trace=format(span.trace_id, "032x"), span=format(span.span_id, "016x"))

program = Traced()

def metric(example, prediction):
    return 1.0

def context():
    span = trace.get_current_span().get_span_context()
    return {"trace": format(span.trace_id, "032x"), "span": format(span.span_id, "016x")}

def fails():
    raise ValueError("no good")
"#;

const PATIENCE: Duration = Duration::from_secs(30);
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn project() -> Project {
    let project = Project::new(TRACED);
    project.numbers(3);
    project
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn sent(collector: &Collector, name: &str, count: usize) -> Vec<Span> {
    assert!(holds_within(PATIENCE, || named(&collector.spans(), name).len() >= count), "{:?}", collector.spans());
    collector.spans()
}

#[test]
fn a_runs_span_hangs_beneath_its_caller_its_examples_beneath_it_and_user_code_beneath_those() {
    let (home, project, collector) = (Home::new(), project(), Collector::start());
    let output = home
        .dspex(&["eval", "program.py:program", "--devset", "data.jsonl", "--metric", "metric", "--inputs", "n"])
        .args(["-o", "json", "--save", "results.jsonl"])
        .directory(project.directory())
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
        .env("OTEL_BSP_SCHEDULE_DELAY", "200")
        .env("TRACEPARENT", TRACEPARENT)
        .run()
        .expect(0);
    let run_id = output.object()["run_id"].as_str().expect("an id").to_owned();
    let spans = sent(&collector, "dspex.run", 1);
    let run = named(&spans, "dspex.run")[0];
    assert_eq!(run.trace, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(run.parent, "b7ad6b7169203331");
    assert_eq!(run.texts["dspex.run"], run_id);
    let examples = named(&spans, "dspex.example");
    assert_eq!(examples.len(), 3, "{spans:?}");
    for example in &examples {
        assert_eq!((&example.trace, &example.parent), (&run.trace, &run.id));
    }
    // What user code saw as its parent is the span of its example.
    let rows = project.read("results.jsonl");
    for row in rows.lines() {
        let row: serde_json::Value = serde_json::from_str(row).expect("JSON");
        assert_eq!(row["trace"], serde_json::json!(run.trace), "{row}");
        assert!(examples.iter().any(|example| row["span"] == serde_json::json!(example.id)), "{row}");
    }
    assert!(collector.heads()[0].starts_with("POST /v1/traces "), "{:?}", collector.heads());
}

#[test]
fn a_calls_span_is_its_code_s_parent_and_tells_of_its_failure() {
    let (home, project, collector) = (Home::new(), project(), Collector::start());
    let call = |command: &str| {
        home.dspex(&["pool", "call", "general", command, "-o", "json"])
            .directory(project.directory())
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
            .env("OTEL_BSP_SCHEDULE_DELAY", "200")
            .env("TRACEPARENT", TRACEPARENT)
            .run()
    };
    let seen = call("program.py:context").expect(0).object();
    call("program.py:fails").expect(1);
    let spans = sent(&collector, "dspex.pool.request", 2);
    let of = |command: &str| {
        let is_it = |span: &&&Span| span.texts.get("dspex.command").is_some_and(|name| name == command);
        (*named(&spans, "dspex.pool.request").iter().find(is_it).expect(command)).clone()
    };
    let context = of("program.py:context");
    assert_eq!((context.parent.as_str(), seen["span"].as_str()), ("b7ad6b7169203331", Some(context.id.as_str())));
    assert_eq!(seen["trace"].as_str(), Some(context.trace.as_str()));
    assert_eq!(of("program.py:fails").parent, "b7ad6b7169203331");
    assert!(collector.was_sent("no good"), "what failed stands in the span");
}

#[test]
fn without_an_endpoint_nothing_is_sent_and_user_code_sees_no_parent() {
    let (home, project, collector) = (Home::new(), project(), Collector::start());
    let seen = home
        .dspex(&["pool", "call", "general", "program.py:context", "-o", "json"])
        .directory(project.directory())
        .run()
        .expect(0)
        .object();
    assert_eq!(seen["span"].as_str(), Some("0000000000000000"));
    assert!(collector.spans().is_empty());
}

#[test]
fn a_collector_that_does_not_answer_slows_nothing_down_and_is_told_once() {
    let (home, project) = (Home::new(), project());
    for _ in 0..2 {
        home.dspex(&["pool", "call", "general", "program.py:context"])
            .directory(project.directory())
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
            .env("OTEL_BSP_SCHEDULE_DELAY", "100")
            .run()
            .expect(0);
    }
    let told = || home.log().lines().filter(|line| line.contains("collector") || line.contains("127.0.0.1:9")).count();
    assert!(holds_within(PATIENCE, || told() > 0), "{}", home.log());
}

const LOSES: &str = r#"
class Losing(dspy.Module):
    def forward(self, n):
        if n == 1:
            os._exit(3)
        while n == 2 and not os.path.exists("go"):
            time.sleep(0.05)
        return dspy.Prediction(n=n)

program = Losing()

def metric(example, prediction):
    return 1.0
"#;

#[test]
fn a_lost_example_ends_its_span_with_the_reason_while_the_run_goes_on() {
    let (home, project, collector) = (Home::new(), Project::new(LOSES), Collector::start());
    project.numbers(3);
    let eval = home
        .eval(&project)
        .args(["--num-threads", "1", "--workers", "1", "--retries", "0"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
        .env("OTEL_BSP_SCHEDULE_DELAY", "200")
        .start();
    let told = holds_within(PATIENCE, || collector.was_sent("exited with code 3"));
    assert!(told, "{:?}\n{}", collector.spans(), home.log());
    assert!(named(&collector.spans(), "dspex.run").is_empty(), "the run waits");
    assert_eq!(named(&collector.spans(), "dspex.example").len(), 2, "the first and the lost one");
    project.file("go", "");
    eval.finish().expect(0);
    let spans = sent(&collector, "dspex.run", 1);
    assert_eq!(named(&spans, "dspex.example").len(), 3, "{spans:?}");
}
