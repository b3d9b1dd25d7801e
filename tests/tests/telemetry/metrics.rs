//! Metrics of the embedded node, on its Unix socket.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use dspex_tests::Home;
use dspex_tests::Project;
use dspex_tests::holds_within;

const PATIENCE: Duration = Duration::from_secs(30);

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

#[test]
fn the_gauges_of_several_pools_of_a_class_add_up() {
    let home = Home::new();
    let projects = [(), ()].map(|()| Project::new("def nap(seconds):\n    time.sleep(seconds)\n"));
    let call = |project: &Project, command: &[&str]| {
        home.dspex(&["pool", "call", "general"])
            .args(command)
            .env("DSPEX_POOLS__GENERAL__WORKERS", "2")
            .directory(project.directory())
            .start()
    };
    for project in &projects {
        call(project, &["ping"]).finish().expect(0);
    }
    let workers = |state: &str| {
        let name = format!("dspex_pool_workers{{pool=\"general\",state=\"{state}\"}}");
        value(&get(&home, "/metrics"), &name) as u64
    };
    let show = |available: u64, busy: u64| {
        let shown = || (workers("available"), workers("busy")) == (available, busy);
        assert!(holds_within(PATIENCE, shown), "{} available, {} busy", workers("available"), workers("busy"));
    };
    show(4, 0);
    let naps = projects.each_ref().map(|project| call(project, &["program.py:nap", "10"]));
    show(2, 2);
    for nap in naps {
        nap.finish().expect(0);
    }
    show(4, 0);
}

const LOSES: &str = r#"
class Losing(dspy.Module):
    def forward(self, n):
        if n == 1:
            os._exit(3)
        return dspy.Prediction(n=n)

program = Losing()

def metric(example, prediction):
    return 1.0
"#;

#[test]
fn lost_examples_are_counted_as_failed() {
    let (home, project) = (Home::new(), Project::new(LOSES));
    project.numbers(6);
    home.eval(&project).args(["--num-threads", "1", "--workers", "1"]).run().expect(0);
    let metrics = get(&home, "/metrics");
    assert_eq!(value(&metrics, "dspex_examples_total{outcome=\"ok\"}") as u64, 5);
    assert_eq!(value(&metrics, "dspex_examples_total{outcome=\"failed\"}") as u64, 1);
    assert_eq!(value(&metrics, "dspex_python_error_count_total{error_type=\"WorkerLost\"}") as u64, 1);
}
