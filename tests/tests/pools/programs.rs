//! Programs that callers create by data and every worker of the pool can execute.

use serde_json::json;

use crate::subject::Subject;

const LM: &str = r#"
from dspex.samples.digits import ReadDigit, lm, data

def reader():
    return ReadDigit(data.rest(step=100))
"#;

#[test]
fn a_program_that_was_created_once_is_executed_by_every_worker() {
    let subject = Subject::with_settings(LM, "[pools.general]\nworkers = 3\n");
    let created = subject.answer(&[
        "create_program",
        r#"{"id": "digit", "signature": "image -> digit", "instructions": "Read.", "lm": "program.py:lm"}"#,
    ]);
    assert_eq!(created["inputs"], json!([{"name": "image", "type": "str"}]));
    let image = ["0 0 5 13 9 1 0 0"; 8].join("\n");
    let arguments = json!({"program_id": "digit", "inputs": {"image": image}}).to_string();
    let mut workers = std::collections::BTreeSet::new();
    for _ in 0..12 {
        let answer = subject.answer(&["execute_program", &arguments]);
        assert!(answer["outputs"]["digit"].is_string(), "{answer}");
        assert!(answer["usage"]["digits/nearest-demo"]["total_tokens"].as_u64() > Some(0), "{answer}");
    }
    for worker in subject.workers() {
        if worker["completed"].as_u64() > Some(0) {
            workers.insert(worker["worker"].to_string());
        }
    }
    assert!(!workers.is_empty());
    // Created again under the same id, it is another program for all of them.
    subject.answer(&["create_program", r#"{"id": "digit", "program": "program.py:reader", "lm": "program.py:lm"}"#]);
    for _ in 0..6 {
        let answer = subject.answer(&["execute_program", &arguments]);
        assert!(answer["usage"]["digits/nearest-demo"]["prompt_tokens"].as_u64() > Some(1000), "with demos: {answer}");
    }
}

#[test]
fn a_program_survives_the_worker_that_created_it() {
    let subject = Subject::with_settings(LM, "[pools.general]\nworkers = 1\n");
    subject.answer(&["create_program", r#"{"id": "p", "program": "program.py:reader", "lm": "program.py:lm"}"#]);
    let worker = subject.workers()[0]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a pid");
    dspex_tests::process::kill(worker);
    let image = ["0 0 5 13 9 1 0 0"; 8].join("\n");
    let arguments = json!({"program_id": "p", "inputs": {"image": image}}).to_string();
    assert!(subject.answer(&["execute_program", &arguments])["outputs"]["digit"].is_string());
}

#[test]
fn what_is_wrong_with_a_program_is_said_before_it_runs() {
    let subject = Subject::with_settings(LM, "[pools.general]\nworkers = 1\n");
    for (arguments, phrase) in [
        (r#"{"id": "x"}"#, "either a signature or a program"),
        (r#"{"id": "x", "signature": "question"}"#, "signature"),
        (r#"{"id": "x", "signature": "question -> answer", "module": "react"}"#, "predict, chain_of_thought"),
        (r#"{"signature": "question -> answer"}"#, "id"),
        (r#"{"id": "", "signature": "question -> answer"}"#, "1 to 255"),
        (r#"{"id": "x", "signature": "question -> answer", "colour": 1}"#, "colour"),
        (r#"{"id": "x", "program": "program.py:nope"}"#, "nope"),
        (r#"{"id": "x", "signature": {"inputs": [], "outputs": [{"name": "a"}]}}"#, "at least one input"),
    ] {
        subject.call(&["create_program", arguments]).run().expect(1).says(phrase);
    }
    subject.call(&["execute_program", r#"{"program_id": "x"}"#]).run().expect(5).says("create_program");
    subject.answer(&["create_program", r#"{"id": "x", "signature": "question, context: list[str] -> answer: int"}"#]);
    let missing = subject.call(&["execute_program", r#"{"program_id": "x", "inputs": {"question": "a", "n": 1}}"#]);
    missing.run().expect(1).says("without context").says("with n, which it does not have");
}
