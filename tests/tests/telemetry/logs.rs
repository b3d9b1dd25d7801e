//! JSON logs with trace ids, and without secrets.

use std::time::Duration;

use dspex_tests::Collector;
use dspex_tests::Home;
use dspex_tests::Project;
use dspex_tests::holds_within;
use serde_json::Value;

const SECRET: &str = "sk-test-51H8aXq7ZpL0wYbN3vKd";

const LEAKY: &str = r#"
def prints():
    print("my key is", os.environ["SERVICE_API_KEY"])

def raises():
    raise RuntimeError("the provider refused " + os.environ["SERVICE_API_KEY"])

def plain():
    print("max_tokens=5 and 17 tokens used")
"#;

#[test]
fn lines_are_json_with_their_trace_and_no_secret_is_in_lines_or_spans() {
    let (home, project, collector) = (Home::new(), Project::new(LEAKY), Collector::start());
    let call = |command: &str| {
        home.dspex(&["pool", "call", "general", command])
            .directory(project.directory())
            .env("LOG_FORMAT", "json")
            .env("SERVICE_API_KEY", SECRET)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
            .env("OTEL_BSP_SCHEDULE_DELAY", "200")
            .run()
    };
    call("program.py:prints").expect(0);
    let raised = call("program.py:raises").expect(1);
    raised.says(SECRET);
    call("program.py:plain").expect(0);
    let logged = |phrase: &str| home.log().contains(phrase);
    assert!(holds_within(Duration::from_secs(20), || logged("max_tokens=5 and 17 tokens used")), "{}", home.log());
    assert!(holds_within(Duration::from_secs(20), || logged("my key is")), "the control: it was logged");
    assert!(
        holds_within(Duration::from_secs(20), || collector.was_sent("the provider refused")),
        "the control: it was sent"
    );
    assert!(!home.log().contains(SECRET) && home.log().contains("[redacted]"), "{}", home.log());
    assert!(!collector.was_sent(SECRET));
    for line in home.log().lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["timestamp"].is_string() && line["level"].is_string() && line["message"].is_string(), "{line}");
    }
    let traced = home.log().lines().filter(|line| line.contains("the call failed")).all(|line| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        line["trace_id"].as_str().is_some_and(|id| id.len() == 32)
    });
    assert!(traced, "{}", home.log());
}
