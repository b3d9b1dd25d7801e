//! Workers that die, hang and stall under calls: nobody's answer is lost, and nobody is blamed for another.

use std::collections::BTreeMap;
use std::time::Duration;

use dspex_api::v1::CallPoolResponse;
use dspex_tests::process;
use serde_json::{Value, json};

use crate::subject::{Subject, request};

const TOOLS: &str = r#"
def square(n, pause=0.0):
    time.sleep(pause)
    return n * n

def die(code=9):
    os._exit(code)

def forever():
    while True:
        pass

def nap(seconds):
    time.sleep(seconds)
    return os.getpid()

def once(path):
    with open(path, "a") as log:
        log.write("x")
    os._exit(1)

def grow(mebibytes):
    held = bytearray(mebibytes << 20)
    for position in range(0, len(held), 4096):
        held[position] = 1
    time.sleep(5)
    return len(held)
"#;

/// Sends so many squares over one stream; while they are under way `act` is done. The answers by id.
fn squares(subject: &Subject, count: u64, pause: f64, act: impl FnOnce(&[u32])) -> BTreeMap<u64, CallPoolResponse> {
    subject
        .home
        .ask(async |client| {
            let pool_id = client.open_pool(subject.open()).await?;
            // The workers are warm, so that the calls are really under way.
            let warm = request(&pool_id, 0, "program.py:square", r#"{"n": 1}"#);
            client.call_pool(warm, Duration::from_secs(120)).await?;
            let calls: Vec<_> = (0..count)
                .map(|id| request(&pool_id, id, "program.py:square", &json!({"n": id, "pause": pause}).to_string()))
                .collect();
            let (sender, receiver) = tokio::sync::mpsc::channel(1024);
            let mut answers = client.call_pool_stream(tokio_stream::wrappers::ReceiverStream::new(receiver)).await?;
            for call in calls {
                sender.send(call).await.expect("taken");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            let workers = client.list_workers().await?;
            let pids: Vec<u32> =
                workers.iter().filter(|worker| worker.in_flight > 0).map(|worker| worker.pid).collect();
            act(&pids);
            let mut found = BTreeMap::new();
            while found.len() < count as usize {
                let answer = answers.message().await?.expect("an answer for each call");
                assert!(found.insert(answer.id, answer).is_none(), "answered twice");
            }
            Ok(found)
        })
        .expect("the node answers")
}

fn expect_squares(answers: &BTreeMap<u64, CallPoolResponse>) {
    for (id, answer) in answers {
        assert_eq!(answer.error, None, "call {id}");
        assert_eq!(answer.result, (id * id).to_string().into_bytes(), "call {id}");
    }
}

fn started(workers: u32) -> Subject {
    let subject = Subject::with_settings(TOOLS, &format!("[pools.general]\nworkers = {workers}\n"));
    subject.answer(&["ping"]);
    subject
}

fn pids(subject: &Subject) -> Vec<u32> {
    let pid = |worker: &Value| worker["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
    subject.workers().iter().filter_map(pid).collect()
}

#[test]
fn kill_9_of_a_worker_with_400_calls_under_way_loses_none_and_spoils_none() {
    let subject = started(4);
    let answers = squares(&subject, 400, 0.002, |busy| process::kill(busy[0]));
    expect_squares(&answers);
    assert!(answers.values().any(|answer| answer.attempt > 1), "the control: some ran again, so the kill hit");
    assert_eq!(subject.stats()["errors"], json!(0));
    assert_eq!(subject.stats()["restarts"], json!(1));
}

#[test]
fn without_retries_the_calls_of_a_killed_worker_fail_and_are_not_executed_again() {
    let subject = started(1);
    let log = subject.project.path("once.log");
    let arguments = json!({"path": log}).to_string();
    let output = subject.call(&["program.py:once", &arguments, "--retries", "0"]).run().expect(1);
    output.says("WORKER_LOST").says("exited with code 1");
    assert_eq!(std::fs::read_to_string(&log).expect("executed once"), "x");
    std::fs::remove_file(&log).expect("removed");
    subject.call(&["program.py:once", &arguments, "--retries", "2"]).run().expect(1);
    assert_eq!(std::fs::read_to_string(&log).expect("executed"), "xxx", "the control: with retries it runs again");
}

#[test]
fn a_call_that_kills_its_worker_fails_alone() {
    let subject = started(2);
    let deadly = subject.call(&["program.py:die"]).start();
    let answers = squares(&subject, 200, 0.001, |_| ());
    expect_squares(&answers);
    deadly.finish().expect(1).says("WORKER_LOST").says("exited with code 9");
}

#[test]
fn a_call_past_its_limit_is_ended_and_its_neighbours_are_answered() {
    let subject = started(2);
    let hanging = subject.call(&["program.py:forever", "--timeout", "1"]).start();
    let answers = squares(&subject, 200, 0.001, |_| ());
    expect_squares(&answers);
    let output = hanging.finish().expect(1);
    output.says("CALL_TIMED_OUT").says("after 1 s");
}

#[test]
fn quick_calls_do_not_wait_behind_a_slow_one_while_another_worker_is_free() {
    let subject = started(2);
    // Measured as quick, so that many may wait inside a worker.
    expect_squares(&squares(&subject, 300, 0.0, |_| ()));
    let answers = subject
        .home
        .ask(async |client| {
            let pool_id = client.open_pool(subject.open()).await?;
            let (sender, receiver) = tokio::sync::mpsc::channel(1024);
            let mut answers = client.call_pool_stream(tokio_stream::wrappers::ReceiverStream::new(receiver)).await?;
            // The same command is slow this once.
            let slow = json!({"n": 0, "pause": 3.0}).to_string();
            sender.send(request(&pool_id, 0, "program.py:square", &slow)).await.expect("taken");
            for id in 1..100 {
                let quick = json!({"n": id}).to_string();
                sender.send(request(&pool_id, id, "program.py:square", &quick)).await.expect("taken");
            }
            let mut order = Vec::new();
            while order.len() < 100 {
                order.push(answers.message().await?.expect("an answer").id);
            }
            Ok(order)
        })
        .expect("the node answers");
    assert_eq!(answers.last(), Some(&0), "the slow one is the last of all: {answers:?}");
}

#[test]
fn a_full_queue_refuses_and_a_long_wait_ends() {
    let subject = Subject::with_settings(TOOLS, "[pools.general]\nworkers = 1\nqueue_max = 3\n");
    subject.answer(&["ping"]);
    let napping = subject.call(&["program.py:nap", r#"{"seconds": 4}"#]).start();
    assert!(dspex_tests::holds_within(Duration::from_secs(20), || subject.stats()["busy"] == json!(1)));
    subject
        .call(&["ping", "--queue-timeout", "0.3"])
        .run()
        .expect(7)
        .says("QUEUE_TIMEOUT")
        .says("1 of 1 workers are busy");
    let waiting: Vec<_> = (0..3).map(|_| subject.call(&["ping"]).start()).collect();
    assert!(dspex_tests::holds_within(Duration::from_secs(20), || subject.stats()["queued"] == json!(3)));
    subject.call(&["ping"]).run().expect(7).says("POOL_FULL").says("queue_max");
    napping.finish().expect(0);
    for call in waiting {
        call.finish().expect(0);
    }
    let stats = subject.stats();
    assert_eq!((stats["queue_timeouts"].as_u64(), stats["refused"].as_u64()), (Some(1), Some(1)), "{stats}");
    assert_eq!(stats["health"], json!("warning"), "{stats}");
    assert_eq!(stats["requests"], json!(6), "{stats}");
}

#[test]
fn a_pool_whose_calls_fail_says_so() {
    let subject = started(1);
    for _ in 0..3 {
        subject.call(&["program.py:square"]).run().expect(1);
    }
    let output = subject.dspex(&["pool", "stats", "-o", "json"]).run().expect(0);
    output.says("3 of 4 requests of the last minute failed");
    assert_eq!(output.object()["items"][0]["health"], json!("error"));
}

#[test]
fn a_caller_that_goes_away_takes_its_waiting_calls_with_it() {
    let subject = started(1);
    let napping = subject.call(&["program.py:nap", r#"{"seconds": 2}"#]).start();
    assert!(dspex_tests::holds_within(Duration::from_secs(20), || subject.stats()["busy"] == json!(1)));
    let log = subject.project.path("once.log");
    let waiting = subject.call(&["program.py:once", &json!({"path": log}).to_string()]).start();
    assert!(dspex_tests::holds_within(Duration::from_secs(20), || subject.stats()["queued"] == json!(1)));
    waiting.kill();
    napping.finish().expect(0);
    subject.answer(&["ping"]);
    assert!(!log.exists(), "nobody waited for it any more");
}

#[test]
fn the_nodes_death_ends_its_callers_and_leaves_no_process() {
    let subject = started(2);
    let pids = pids(&subject);
    let napping = subject.call(&["program.py:nap", r#"{"seconds": 60}"#]).start();
    assert!(dspex_tests::holds_within(Duration::from_secs(20), || subject.stats()["busy"] == json!(1)));
    subject.home.kill_node();
    napping.finish().expect(6);
    for pid in pids {
        assert!(process::ends_within(pid, Duration::from_secs(10)), "{pid} outlived its node");
    }
    subject.answer(&["ping"]);
}

#[test]
fn a_node_that_ends_lets_calls_under_way_finish_for_five_seconds() {
    let subject = started(2);
    let nap = |seconds: u32| subject.call(&["program.py:nap", &json!({"seconds": seconds}).to_string()]).start();
    let (short, long) = (nap(3), nap(60));
    assert!(dspex_tests::holds_within(Duration::from_secs(20), || subject.stats()["busy"] == json!(2)));
    let node = subject.home.node();
    process::terminate(node);
    let began = std::time::Instant::now();
    assert!(short.finish().expect(0).object().is_u64(), "its worker's answer");
    long.finish().expect(6);
    assert!(began.elapsed() >= Duration::from_secs(4), "it was not waited for: {:?}", began.elapsed());
    assert!(process::ends_within(node, Duration::from_secs(20)), "it waited for the long one");
    assert!(subject.home.python_processes().is_empty());
}
