//! A session's home: found from everywhere, and another one when it is lost.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dspex_api::reason;
use serde_json::json;

use crate::subject::Subject;

#[test]
fn a_client_that_keeps_calling_loses_nothing_when_homes_are_killed() {
    let mut subject = Subject::new(3);
    subject.session("s");
    let (mut counted, mut moves) = (0, Vec::new());
    for round in 0..4 {
        // Asked for at another node than the home, which is killed then: the one that was asked takes its place.
        let home = subject.home("s");
        let asked = (home + 1) % 3;
        for _ in 0..5 {
            counted += 1;
            let (result, answer) = subject.calls(asked, "s", "count", "");
            assert_eq!((result, subject.cluster.position(answer.node_id)), (json!(counted), home), "round {round}");
        }
        subject.cluster.kill(home);
        let killed = Instant::now();
        counted += 1;
        let (result, answer) = subject.calls(asked, "s", "count", "");
        moves.push(killed.elapsed());
        assert_eq!((result, subject.cluster.position(answer.node_id)), (json!(counted), asked), "round {round}");
        subject.cluster.start(home);
    }
    eprintln!("moves took {moves:?}");
    let shown = subject.shown(1, "s");
    assert_eq!((shown.version, shown.data["n"].clone()), (counted + 1, counted.to_string()), "no update lost or twice");
}

#[test]
fn a_call_that_was_lost_with_its_home_is_executed_once_more_unless_it_may_not() {
    for (retries, executed) in [(None, true), (Some(0), false)] {
        let mut subject = Subject::new(3);
        subject.session("s");
        subject.calls(1, "s", "count", "");
        let home = subject.home("s");
        let asked = (home + 1) % 3;
        let mut request = subject.request("s", "slowly", r#"{"seconds": 4}"#);
        request.retries = retries;
        let began = AtomicU64::new(0);
        let answer = std::thread::scope(|scope| {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            let runtime = runtime.expect("a runtime");
            let client = runtime.block_on(subject.cluster.client(asked)).expect("it answers");
            let (began, request) = (&began, &request);
            let calling = scope.spawn(move || {
                runtime.block_on(async {
                    began.store(1, Ordering::Release);
                    client.execute_session(request.clone(), Duration::from_secs(300)).await
                })
            });
            while began.load(Ordering::Acquire) == 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
            std::thread::sleep(Duration::from_secs(2));
            subject.cluster.kill(home);
            calling.join().expect("no panic")
        });
        let n = subject.shown(asked, "s").data["n"].clone();
        if executed {
            assert_eq!((answer.expect("executed again").result, n.as_str()), ("2".into(), "2"));
        } else {
            assert_eq!(answer.expect_err("not executed again").reason, reason::OUTCOME_UNKNOWN);
            assert_eq!(n, "1");
        }
    }
}

#[test]
fn more_sessions_than_workers_are_all_answered() {
    const SESSIONS: usize = 40;
    let subject = Subject::new(1);
    for number in 0..SESSIONS {
        subject.session(&format!("s{number}"));
    }
    for round in 1..=2 {
        for number in 0..SESSIONS {
            assert_eq!(subject.calls(0, &format!("s{number}"), "count", "").0, json!(round));
        }
    }
    let listed = subject.cluster.dspex(0, &["worker", "list", "-o", "json"]).run().expect(0).object();
    let workers = listed["items"].as_array().map_or(0, Vec::len);
    assert!(workers <= 34, "{workers} workers for {SESSIONS} sessions");
}
