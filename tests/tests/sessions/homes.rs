//! A session's home: found from everywhere, and another one when it is lost.

use std::time::{Duration, Instant};

use dspex_api::v1::ExecuteSessionResponse;
use dspex_api::{ApiError, reason};
use dspex_tests::{Cluster, wait_until};
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

/// Where the session was when the call began, and which node was asked for it.
struct Nodes {
    home: usize,
    asked: usize,
}

/// A call that takes some seconds, and what becomes of its home meanwhile.
fn while_called(
    subject: &mut Subject,
    seconds: u32,
    retries: Option<u32>,
    then: impl FnOnce(&mut Cluster, usize),
) -> (Nodes, Result<ExecuteSessionResponse, ApiError>) {
    subject.session("s");
    subject.calls(1, "s", "count", "");
    let home = subject.home("s");
    let asked = (home + 1) % 3;
    let mut request = subject.request("s", "slowly", &format!("{{\"seconds\": {seconds}}}"));
    request.retries = retries;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let client = runtime.block_on(subject.cluster.client(asked)).expect("it answers");
    let answer = std::thread::scope(|scope| {
        let calling = scope.spawn(|| runtime.block_on(client.execute_session(request, Duration::from_secs(300))));
        let cluster = &mut subject.cluster;
        wait_until("the call is executed", Duration::from_secs(60), || {
            let listed = cluster.dspex(home, &["worker", "list", "-o", "json"]).run().expect(0).object();
            let items = listed["items"].as_array().cloned().unwrap_or_default();
            items.iter().any(|worker| worker["state"] == "busy").then_some(())
        });
        then(cluster, home);
        calling.join().expect("no panic")
    });
    (Nodes { home, asked }, answer)
}

#[test]
fn a_call_that_was_lost_with_its_home_is_executed_once_more_unless_it_may_not() {
    for (retries, executed) in [(None, true), (Some(0), false)] {
        let mut subject = Subject::new(3);
        let (Nodes { asked, .. }, answer) = while_called(&mut subject, 4, retries, Cluster::kill);
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
fn a_home_that_is_told_to_end_lets_its_calls_finish() {
    let mut subject = Subject::new(3);
    let end = |cluster: &mut Cluster, home| drop(cluster.terminate(home));
    let (Nodes { asked, .. }, answer) = while_called(&mut subject, 2, Some(0), end);
    assert_eq!(answer.expect("finished").result, "2");
    assert_eq!(subject.shown(asked, "s").data["n"], "2");
    // And another node is the home from here on.
    assert_eq!(subject.calls(asked, "s", "count", "").0, json!(3));
}

#[test]
fn a_home_that_drains_finishes_what_it_executes_and_another_node_takes_the_session() {
    let mut subject = Subject::new(3);
    let drain = |cluster: &mut Cluster, home: usize| {
        let name = format!("node-{home}");
        cluster.dspex((home + 1) % 3, &["member", "drain", &name, "--no-wait"]).run().expect(0);
    };
    // It may not be executed again, so it would be told if it were.
    let (Nodes { home, asked }, answer) = while_called(&mut subject, 3, Some(0), drain);
    assert_eq!(answer.expect("finished").result, "2");
    // The session is not asked for here: whoever asks a home that drains takes its place. The home learns of it from the log, a
    // moment later than whoever said so.
    let mut probes = 0;
    wait_until("the home takes nothing new", Duration::from_secs(30), || {
        // One that was taken has a home, and is passed on from then on.
        probes += 1;
        let probe = format!("probe-{probes}");
        subject.session(&probe);
        subject
            .asks(home, subject.request(&probe, "count", ""))
            .is_err_and(|error| error.reason == reason::NODE_DRAINING)
            .then_some(())
    });
    let (result, answer) = subject.calls(asked, "s", "count", "");
    assert_eq!((result, subject.cluster.position(answer.node_id)), (json!(3), asked));
    // The former home passes on what it is asked, and takes no session that has no home yet.
    let (result, answer) = subject.calls(home, "s", "count", "");
    assert_eq!((result, subject.cluster.position(answer.node_id)), (json!(4), asked));
    subject.session("new");
    let refused = subject.asks(home, subject.request("new", "count", "")).expect_err("nothing new begins there");
    assert_eq!(refused.reason, reason::NODE_DRAINING);
    assert_eq!(subject.calls(asked, "new", "count", "").0, json!(1), "the next node takes it");
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
