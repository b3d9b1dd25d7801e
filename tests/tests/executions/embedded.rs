//! What is recorded of calls on an embedded node, and how it is found.

use std::time::Duration;

use dspex_api::reason;
use dspex_api::v1::GetExecutionRequest;
use dspex_tests::{process, wait_until};
use serde_json::{Value, json};

use crate::subject::{ALL, PATIENCE, Subject, field, request};

#[test]
fn a_call_of_a_program_is_an_execution_with_what_it_was_given_gave_and_used() {
    let subject = Subject::new("[pools.general]\nworkers = 2\n");
    let program = r#"{"id": "qa", "program": "dspex.samples.digits:zero_shot", "lm": "dspex.samples.digits:lm"}"#;
    subject.call(&["create_program", program]).run().expect(0);
    let image = ["0 0 5 13 9 1 0 0"; 8].join("\n");
    let arguments = json!({"program_id": "qa", "inputs": {"image": image}}).to_string();
    let answer = subject.call(&["execute_program", &arguments]).run().expect(0).object();
    subject.call(&["execute_program", r#"{"program_id": "qa", "inputs": {}}"#]).run().expect(1);
    subject.call(&["ping"]).run().expect(0);
    subject.call(&["program.py:double", "2"]).run().expect(0);

    let listed = subject.recorded(2, &["--program", "qa"]);
    assert_eq!(field(&listed, "status"), ["failed", "succeeded"]);
    assert_eq!(field(&listed, "number"), [2, 1], "nothing else was recorded");
    assert!(listed[0].get("input").is_none(), "values are shown where they are asked for");
    let shown = subject.dspex(&["execution", "show", text(&listed[1], "execution"), "-o", "json"]).run().expect(0);
    let shown = shown.object();
    assert_eq!((&shown["input"], &shown["output"]), (&json!({"image": image}), &answer["outputs"]));
    let trace = shown["trace"].as_array().cloned().expect("a trace");
    assert_eq!(
        trace.last().map(|entry| (&entry["inputs"]["image"], &entry["outputs"])),
        Some((&json!(image), &shown["output"]))
    );
    assert!(answer.get("trace").is_none(), "it is recorded, not given to the caller");
    assert_eq!((&shown["metrics"]["usage"], &shown["actor"]), (&answer["usage"], &json!("local user")));
    assert!(shown["duration_s"].as_f64() > Some(0.0) && text(&shown, "worker").starts_with("python_worker_"));
    assert!(text(&listed[0]["error"], "message").contains("'image'"), "{}", listed[0]);
    let refused = subject.call(&["execute_program", r#"{"program_id": "nobody"}"#]).run().expect(5);
    refused.says("NOT_DEFINED");
    assert_eq!(subject.list(&[]).len(), 2, "what was refused is no execution");
}

#[test]
fn every_way_to_end_has_a_status_of_its_own_and_each_is_found_by_it() {
    let subject = Subject::new(ALL);
    subject.call(&["program.py:double", "21"]).run().expect(0);
    subject.call(&["program.py:fails", r#"{"text": "no such thing"}"#]).run().expect(1);
    subject.call(&["program.py:nap", "60", "--timeout", "0.3"]).run().expect(1);
    subject.call(&["program.py:die", "--retries", "0"]).run().expect(1);
    subject.call(&["ping"]).run().expect(0);
    subject.recorded(4, &[]);
    for (status, program, class) in [
        ("succeeded", "program.py:double", None),
        ("failed", "program.py:fails", Some("LookupError")),
        ("timed_out", "program.py:nap", Some("TimedOut")),
        ("lost", "program.py:die", Some("WorkerLost")),
    ] {
        let found = subject.list(&["--status", status]);
        assert_eq!(field(&found, "program"), [program], "{status}");
        assert_eq!(subject.list(&["--status", status, "--program", program]), found);
        assert_eq!(subject.list(&["--status", status, "--program", "program.py:other"]), [Value::Null; 0]);
        let error = &found[0]["error"];
        assert!(class.is_none_or(|class| text(error, "type").contains(class)), "{error}");
        assert_eq!(error.is_null(), class.is_none());
    }
    assert_eq!(subject.list(&["--status", "cancelled"]).len(), 0);
    let table = subject.dspex(&["execution"]).run().expect(0).stdout;
    assert!(table.contains("timed_out") && table.contains("program.py:die"), "{table}");
    subject.dspex(&["execution", "list", "--status", "done"]).run().expect(2).says("succeeded");
}

#[test]
fn a_caller_that_goes_away_leaves_a_cancelled_execution() {
    let subject = Subject::new(ALL);
    subject.call(&["program.py:double", "1"]).run().expect(0);
    subject
        .home
        .ask(async |client| {
            let pool_id = client.open_pool(subject.open()).await?;
            let nap = request(&pool_id, "program.py:nap", r#"{"seconds": 60}"#);
            // This side gives up; the connection stays.
            let _ = client.call_pool(nap, Duration::from_millis(500)).await.expect_err("too late");
            Ok(())
        })
        .expect("a call");
    let listed = subject.recorded(1, &["--status", "cancelled"]);
    assert_eq!(listed[0]["program"], "program.py:nap");
}

#[test]
fn executions_are_found_by_time_and_by_their_ids() {
    let subject = Subject::new(ALL);
    subject.call(&["program.py:double", "1"]).run().expect(0);
    let listed = subject.recorded(1, &["--since", "1h"]);
    assert_eq!(subject.list(&["--until", "1h"]).len(), 0);
    assert_eq!(subject.list(&["--since", "2000-01-01T00:00:00Z", "--until", "2100-01-01T00:00:00Z"]), listed);
    assert_eq!(subject.list(&["--since", "2100-01-01T00:00:00Z"]).len(), 0);
    let id = text(&listed[0], "execution");
    let shown = subject.dspex(&["execution", "show", id]).run().expect(0).stdout;
    assert!(shown.contains(id) && shown.contains("program.py:double"), "{shown}");
    let unknown = "019a9c3e-7d52-7c11-b0c4-6f0e6d1c2b3a";
    subject.dspex(&["execution", "show", unknown]).run().expect(5).says(reason::EXECUTION_NOT_FOUND);
    subject.dspex(&["execution", "show", "nothing"]).run().expect(2).says("UUID");
    subject.dspex(&["execution", "list", "--since", "yesterday"]).run().expect(2).says("7d");
    let wrong = subject
        .home
        .ask(async |client| client.execution(GetExecutionRequest { execution_id: id.to_owned(), freshness: 77 }).await);
    assert_eq!(wrong.expect_err("unknown").reason, reason::REQUEST_INVALID);
}

#[test]
fn a_large_value_is_a_blob_that_goes_with_its_execution() {
    let subject = Subject::new(ALL);
    subject.call(&["program.py:repeat", r#"{"text": "long ", "times": 20000}"#]).run().expect(0);
    let listed = subject.recorded(1, &["--values"]);
    assert_eq!(listed[0]["input"], json!({"text": "long ", "times": 20000}));
    let output = &listed[0]["output"];
    assert_eq!(output["bytes"], 100_002, "{output}");
    let digest = text(output, "$blob");
    let shown = subject.dspex(&["execution", "show", text(&listed[0], "execution"), "-o", "json"]).run().expect(0);
    assert_eq!(shown.object()["output"].as_str().map(str::len), Some(100_000));
    let stored = || subject.home.ask(async |client| client.get_blob(digest).await);
    assert_eq!(stored().expect("kept").len(), 100_002);

    subject.dspex(&["execution", "clear"]).run().expect(2).says("--yes");
    subject.dspex(&["execution", "clear", "--yes"]).run().expect(0);
    assert_eq!(subject.list(&[]).len(), 0);
    wait_until("the blob is freed", PATIENCE, || stored().err());
    let trail = subject.dspex(&["audit", "-o", "json"]).run().expect(0).object();
    assert_eq!(trail["items"][0]["action"], "execution clear", "{trail}");
    subject.call(&["program.py:double", "1"]).run().expect(0);
    assert_eq!(field(&subject.recorded(1, &[]), "number"), [2], "numbers are not used again");
}

#[test]
fn what_was_listed_is_there_after_a_kill_and_what_had_ended_before_a_stop() {
    let subject = Subject::new(ALL);
    for n in 0..5 {
        subject.call(&["program.py:double", &n.to_string()]).run().expect(0);
    }
    let before = subject.recorded(5, &["--values"]);
    subject.home.kill_node();
    assert_eq!(subject.list(&["--values"]), before);

    subject.call(&["program.py:double", "5"]).run().expect(0);
    // A node that ends by itself records what has ended first.
    let pid = subject.home.node();
    subject.dspex(&["local", "stop"]).run().expect(0);
    assert!(process::ends_within(pid, PATIENCE));
    let after = subject.list(&["--values"]);
    assert_eq!((after.len(), &after[1..]), (6, &before[..]));
}

#[test]
fn nothing_is_recorded_of_a_pool_that_is_to_record_nothing() {
    let subject = Subject::new("[pools.general]\nworkers = 1\nrecord = \"none\"\n");
    let program = r#"{"id": "qa", "program": "dspex.samples.digits:zero_shot", "lm": "dspex.samples.digits:lm"}"#;
    subject.call(&["create_program", program]).run().expect(0);
    let image = ["0 0 5 13 9 1 0 0"; 8].join("\n");
    let arguments = json!({"program_id": "qa", "inputs": {"image": image}}).to_string();
    subject.call(&["execute_program", &arguments]).run().expect(0);
    let pid = subject.home.node();
    subject.dspex(&["local", "stop"]).run().expect(0);
    assert!(process::ends_within(pid, PATIENCE), "all that was to be recorded is");
    assert_eq!(subject.list(&[]).len(), 0);
    let wrong = Subject::new("[pools.general]\nrecord = \"some\"\n");
    wrong.call(&["ping"]).run().expect(2).says("pools.general.record").says("programs");
}

fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object[name].as_str().unwrap_or_else(|| panic!("no text {name} in {object}"))
}
