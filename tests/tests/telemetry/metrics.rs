//! Metrics of the embedded node, on its Unix socket.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use dspex_tests::Home;
use dspex_tests::Project;

fn get(home: &Home, path: &str) -> String {
    let mut stream = UnixStream::connect(home.path().join("node.sock")).expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    answer
}

fn value(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is missing:\n{metrics}")).parse().expect("a number")
}

#[test]
fn runs_examples_tokens_and_calls_are_counted() {
    let (home, project) = (Home::new(), Project::empty());
    home.dspex(&["eval", "dspex.samples.digits:few_shot_16", "--devset", "dspex.samples.digits:devset"])
        .args(["--metric", "dspex.samples.digits:exact", "--lm", "dspex.samples.digits:lm"])
        .directory(project.directory())
        .run()
        .expect(0);
    home.dspex(&["pool", "call", "general", "ping"]).directory(project.directory()).run().expect(0);
    home.dspex(&["pool", "call", "general", "os:nope"]).directory(project.directory()).run().expect(1);
    let metrics = get(&home, "/metrics");
    assert!(metrics.starts_with("HTTP/1.1 200"), "{metrics}");
    assert_eq!(value(&metrics, "dspex_runs_total{status=\"finished\"}") as u64, 1);
    assert_eq!(value(&metrics, "dspex_run_duration_seconds_count") as u64, 1);
    assert!(value(&metrics, "dspex_log_proposals_total") >= 2.0, "a submission and its results");
    assert_eq!(value(&metrics, "dspex_examples_total{outcome=\"ok\"}") as u64, 200);
    assert_eq!(value(&metrics, "dspex_execution_count_total") as u64, 200);
    assert!(value(&metrics, "dspex_llm_tokens_total{provider=\"digits\",type=\"input\"}") > 100_000.0);
    assert_eq!(value(&metrics, "dspex_pool_requests_total{pool=\"general\",outcome=\"ok\"}") as u64, 1);
    assert_eq!(value(&metrics, "dspex_pool_requests_total{pool=\"general\",outcome=\"error\"}") as u64, 1);
    assert_eq!(value(&metrics, "dspex_python_error_count_total{error_type=\"name_missing\"}") as u64, 1);
    assert!(get(&home, "/healthz/ready").starts_with("HTTP/1.1 200"));
}
