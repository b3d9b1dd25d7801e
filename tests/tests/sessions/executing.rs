//! What a call finds in its session, and what it leaves there.

use std::time::Duration;

use dspex_api::reason;
use dspex_api::v1::UpdateSessionRequest;
use dspex_tests::wait_until;
use serde_json::json;

use crate::subject::{Subject, request_id};

#[test]
fn calls_asked_for_anywhere_are_executed_one_after_the_other_on_one_worker_of_the_home() {
    let subject = Subject::new(3);
    subject.session("s");
    let mut homes = Vec::new();
    for number in 1..=6u64 {
        let position = usize::try_from(number).expect("small") % 3;
        let (result, answer) = subject.calls(position, "s", "count", "");
        assert_eq!((result, answer.version), (json!(number), Some(number + 1)), "asked at node {position}");
        homes.push((answer.node_id, answer.worker));
    }
    homes.dedup();
    assert_eq!(homes.len(), 1, "{homes:?}");
    let (seen, answer) = subject.calls(2, "s", "look", "");
    assert_eq!((&seen["told"], &seen["id"], &seen["version"]), (&json!("s"), &json!("s"), &json!(7)));
    assert_eq!((&seen["data"], answer.version), (&json!({"n": 6}), None), "what only looks writes nothing");
    for position in 0..3 {
        assert_eq!(subject.shown(position, "s").data["n"], "6");
    }
    let (gone, answer) = subject.calls(0, "s", "forget", r#"{"name": "n"}"#);
    assert_eq!((gone, answer.version), (json!(null), Some(8)));
    assert!(subject.shown(1, "s").data.is_empty());
}

#[test]
fn sessions_have_workers_and_data_of_their_own() {
    let subject = Subject::new(1);
    let mut workers = Vec::new();
    for id in ["a", "b"] {
        subject.session(id);
        subject.calls(0, id, "count", r#"{"by": 10}"#);
        workers.push(subject.calls(0, id, "look", "").1.worker);
    }
    assert_ne!(workers[0], workers[1]);
    assert_eq!((subject.shown(0, "a").version, subject.shown(0, "b").version), (2, 2));
}

#[test]
fn a_call_that_raises_or_dies_changes_nothing() {
    let subject = Subject::new(1);
    subject.session("s");
    for (name, expected, told) in [
        ("fail", reason::CALL_FAILED, "ValueError: no"),
        ("spoil", reason::CALL_FAILED, "has no JSON form"),
        ("deepen", reason::CALL_FAILED, "\"n\" is nested more than 120 deep"),
        ("die", reason::WORKER_LOST, ""),
    ] {
        let error = subject.asks(0, subject.request("s", name, "")).expect_err(name);
        assert_eq!(error.reason, expected, "{name}: {error}");
        assert!(error.message.contains(told), "{name}: {error}");
    }
    let shown = subject.shown(0, "s");
    assert_eq!((shown.version, shown.data.len()), (1, 0));
    // The session goes on, on another worker.
    assert_eq!(subject.calls(0, "s", "count", "").0, json!(1));
}

#[test]
fn what_was_written_meanwhile_by_others_is_not_overwritten() {
    let subject = Subject::new(1);
    subject.session("s");
    subject.calls(0, "s", "count", "");
    let request = subject.request("s", "slowly", r#"{"seconds": 2}"#);
    let error = std::thread::scope(|scope| {
        let calling = scope.spawn(|| {
            subject
                .cluster
                .ask(0, async |client| client.execute_session(request.clone(), Duration::from_secs(120)).await)
        });
        wait_until("the call is executed", Duration::from_secs(60), || {
            let listed = subject.cluster.dspex(0, &["worker", "list", "-o", "json"]).run().expect(0).object();
            let items = listed["items"].as_array().cloned().unwrap_or_default();
            items.iter().any(|worker| worker["state"] == "busy").then_some(())
        });
        let update = UpdateSessionRequest {
            request_id: Some(request_id()),
            session_id: "s".to_owned(),
            set: [("n".to_owned(), "50".to_owned())].into(),
            ..UpdateSessionRequest::default()
        };
        subject.cluster.ask(0, async |client| client.update_session(update.clone()).await).expect("written");
        calling.join().expect("no panic").expect_err("refused")
    });
    assert_eq!(error.reason, reason::VERSION_CONFLICT, "{error}");
    let shown = subject.shown(0, "s");
    assert_eq!((shown.version, shown.data["n"].as_str()), (3, "50"));
}

#[test]
fn a_repeated_request_is_answered_and_not_executed_again() {
    let subject = Subject::new(3);
    subject.session("s");
    let request = subject.request("s", "count", "");
    for position in 0..3 {
        let answer = subject.asks(position, request.clone()).expect("answered");
        assert_eq!((&answer.result[..], answer.version, answer.repeated), (&b"1"[..], Some(2), position > 0));
    }
    let long = subject.request("s", "long", "");
    assert!(!subject.asks(0, long.clone()).expect("answered").result_lost);
    let again = subject.asks(1, long).expect("answered");
    assert!(again.repeated && again.result_lost && again.result.is_empty());
    assert_eq!(subject.shown(2, "s").data["n"], "2");
}

#[test]
fn what_cannot_be_called_is_refused_with_what_to_do() {
    let subject = Subject::new(1);
    subject.session("s");
    let refused = |request| subject.asks(0, request).expect_err("refused");
    let error = refused(subject.request("none", "count", ""));
    assert_eq!(error.reason, reason::SESSION_NOT_FOUND, "{error}");
    let error = refused(subject.request("s", "missing", ""));
    assert!(error.message.contains("missing"), "{error}");
    let mut without = subject.request("s", "count", "");
    without.request_id = None;
    assert_eq!(refused(without).reason, reason::REQUEST_INVALID);
    let mut unnamed = subject.request("s", "count", "");
    unnamed.command = String::new();
    assert!(refused(unnamed).message.contains("command is missing"));
    let bad = refused(subject.request("\u{0}", "count", ""));
    assert_eq!(bad.reason, reason::REQUEST_INVALID, "{bad}");
    for arguments in [r#"{"by": 1e400}"#, r#"{"by": "\ud800"}"#, "{"] {
        let error = refused(subject.request("s", "count", arguments));
        assert_eq!(error.reason, reason::REQUEST_INVALID, "{arguments}: {error}");
        assert!(error.message.starts_with("what the command is called with "), "{error}");
    }
    let update = UpdateSessionRequest {
        request_id: Some(request_id()),
        session_id: "s".to_owned(),
        set: [("n".to_owned(), "[1e400]".to_owned())].into(),
        ..UpdateSessionRequest::default()
    };
    let error = subject.cluster.ask(0, async |client| client.update_session(update).await).expect_err("refused");
    assert!(error.message.contains("the value of \"n\" holds 1e400 at [0]"), "{error}");
    assert_eq!(subject.shown(0, "s").version, 1, "nothing was written");
    // Outside of a session there is none.
    let called = subject.cluster.dspex(0, &["pool", "call", "general", &subject.command("outside")]).run();
    assert_eq!(called.code, Some(1));
    called.says("not executed in a session");
}

#[test]
fn sessions_are_counted_with_their_homes() {
    let subject = Subject::new(3);
    subject.session("s");
    subject.session("t");
    let stats = |position, arguments: &[&str]| {
        let command = [&["session", "stats", "-o", "json"], arguments].concat();
        subject.cluster.dspex(position, &command).run()
    };
    let all = stats(1, &[]).expect(0).object();
    assert_eq!((&all["sessions"], &all["versions"], &all["homes"]), (&json!(2), &json!(2), &json!({})));
    let home = subject.calls(2, "s", "count", "").1.node_id;
    for position in 0..3 {
        let one = stats(position, &["s"]).expect(0).object();
        assert_eq!((&one["sessions"], &one["versions"]), (&json!(1), &json!(2)));
        assert_eq!(one["homes"], json!({ home.to_string(): 1 }));
        assert!(one["bytes"].as_u64() > Some(0) && one["bytes"].as_u64() < one["bytes_max"].as_u64(), "{one}");
    }
    stats(0, &["none"]).expect(5).says("SESSION_NOT_FOUND");
    let exists = |id: &str| subject.cluster.dspex(0, &["session", "exists", id, "-o", "json"]).run();
    assert_eq!(exists("s").expect(0).object()["exists"], json!(true));
    assert_eq!(exists("none").expect(5).object()["exists"], json!(false));
    exists("\u{1}").expect(2).says("REQUEST_INVALID");
}

#[test]
fn the_command_line_executes_in_a_session() {
    let subject = Subject::new(1);
    subject.session("s");
    let count = subject.command("count");
    let execute = ["session", "execute", "s", &count, r#"{"by": 4}"#, "-v"];
    let said = subject.cluster.dspex(0, &execute).run().expect(0);
    assert_eq!(said.stdout, "4\n");
    said.says("wrote version 2");
    subject.cluster.dspex(0, &["session", "execute", "s", &count, "-o", "csv"]).run().expect(2);
    subject.cluster.dspex(0, &["session", "execute", "none", &count]).run().expect(5);
}
