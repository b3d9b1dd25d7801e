//! What was acknowledged stays, whichever node is lost.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dspex_api::Client;
use dspex_api::v1::{CreateSessionRequest, GetSessionRequest, RequestId, UpdateSessionRequest};
use dspex_tests::{Cluster, process};

fn request_id(number: u64) -> Option<RequestId> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_millis();
    let hex = format!("{now:012x}");
    let request = format!("{}-{}-7000-8000-{number:012x}", &hex[..8], &hex[8..]);
    Some(RequestId { client: "0190a000-0000-7000-8000-000000000001".to_owned(), request })
}

pub async fn create(client: &Client, session: &str) {
    let request = CreateSessionRequest {
        request_id: request_id(0),
        session_id: session.to_owned(),
        ..CreateSessionRequest::default()
    };
    client.create_session(request).await.expect("created");
}

/// Counts up in one session until it is told to stop; what was acknowledged last.
pub async fn count(client: Client, session: &str, stop: &AtomicBool, acknowledged: &AtomicU64) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let request = UpdateSessionRequest {
            request_id: request_id(number),
            session_id: session.to_owned(),
            set: [("n".to_owned(), number.to_string())].into(),
            ..UpdateSessionRequest::default()
        };
        // Under the same id until it is answered: it counts once.
        while let Err(error) = client.update_session(request.clone()).await {
            assert!(!stop.load(Ordering::Relaxed), "not answered: {error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        acknowledged.store(number, Ordering::Relaxed);
    }
}

/// Tells the writer to end however the test ends.
pub struct Ends<'a>(pub &'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_client_that_keeps_writing_loses_nothing_and_nothing_twice_when_leaders_are_killed() {
    let mut cluster = Cluster::of(3);
    let first = cluster.leader();
    let asked = (first + 1) % 3;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let client = runtime.block_on(async {
        let client = cluster.client(asked).await.expect("it answers");
        create(&client, "counter").await;
        client
    });
    let (stop, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut gaps = Vec::new();
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| runtime.block_on(count(client, "counter", &stop, &acknowledged)));
        let _ends = Ends(&stop);
        for _ in 0..3 {
            let leader = cluster.leader();
            if leader == asked {
                // The client's own node stays.
                let name = format!("node-{}", (asked + 1) % 3);
                cluster.dspex(asked, &["member", "transfer-leader", &name]).run().expect(0);
                continue;
            }
            let before = acknowledged.load(Ordering::Relaxed);
            while acknowledged.load(Ordering::Relaxed) < before + 20 {
                std::thread::sleep(Duration::from_millis(5));
            }
            cluster.kill(leader);
            let (killed, before) = (Instant::now(), acknowledged.load(Ordering::Relaxed));
            while acknowledged.load(Ordering::Relaxed) <= before + 1 {
                assert!(killed.elapsed() < Duration::from_secs(30), "nothing is written any more");
                std::thread::sleep(Duration::from_millis(1));
            }
            gaps.push(killed.elapsed());
            cluster.start(leader);
        }
        stop.store(true, Ordering::Relaxed);
        writing.join().expect("the writer ends well");
    });
    let written = acknowledged.load(Ordering::Relaxed);
    eprintln!("{written} writes acknowledged, gaps {gaps:?}");
    for position in 0..3 {
        let get = GetSessionRequest { session_id: "counter".to_owned(), ..GetSessionRequest::default() };
        let session = cluster.ask(position, async |client| client.session(get).await).expect("it is there");
        // Version 1 is its creation.
        assert_eq!((session.version, session.data["n"].clone()), (written + 1, written.to_string()), "node {position}");
    }
}

#[test]
fn five_nodes_survive_the_loss_of_two_and_stop_at_the_third_until_it_is_back() {
    let mut cluster = Cluster::of(5);
    let asked = (cluster.leader() + 1) % 5;
    cluster.dspex(asked, &["session", "create", "kept"]).run().expect(0);
    let mut lost = Vec::new();
    for number in 0..2 {
        let leader = cluster.leader();
        // The first loss is of the leader. Later ones may lead at the node that is asked, which stays.
        let next = if leader == asked { (0..5).find(|one| *one != asked && !lost.contains(one)) } else { Some(leader) };
        let next = next.expect("three are left");
        cluster.kill(next);
        lost.push(next);
        cluster.dspex(asked, &["session", "create", &format!("without-{number}")]).run().expect(0);
    }
    let third = (0..5).find(|one| *one != asked && !lost.contains(one)).expect("two are left beside it");
    cluster.kill(third);
    cluster.dspex(asked, &["session", "create", "refused", "--command-timeout", "15"]).run().expect(6);
    lost.push(third);
    for back in lost {
        cluster.start(back);
    }
    cluster.leader();
    // What was acknowledged is on every node, also on those that were not there.
    for position in 0..5 {
        for session in ["kept", "without-0", "without-1"] {
            cluster.dspex(position, &["session", "show", session]).run().expect(0);
        }
    }
}

#[test]
fn a_node_that_is_told_to_end_hands_over_first() {
    let mut cluster = Cluster::of(3);
    let leader = cluster.leader();
    let said = cluster.terminate(leader);
    assert!(said.contains("handed over the leadership"), "{said}");
    cluster.dspex((leader + 1) % 3, &["session", "create", "after"]).run().expect(0);
    cluster.start(leader);
    cluster.dspex(leader, &["session", "show", "after"]).run().expect(0);
}

#[test]
fn without_a_quorum_writes_and_fresh_reads_are_refused_and_stale_reads_are_not() {
    let mut cluster = Cluster::of(3);
    cluster.dspex(0, &["session", "create", "s"]).run().expect(0);
    cluster.dspex(2, &["session", "show", "s"]).run().expect(0);
    cluster.kill(0);
    cluster.kill(1);
    cluster.dspex(2, &["session", "create", "lost", "--command-timeout", "15"]).run().expect(6);
    cluster.dspex(2, &["session", "show", "s", "--command-timeout", "15"]).run().expect(6).says("--read stale");
    cluster.dspex(2, &["token", "list", "--command-timeout", "15"]).run().expect(6).says("--read stale");
    for stale in [&["session", "show", "s"][..], &["session", "history", "s"], &["token", "list"], &["audit", "list"]] {
        cluster.dspex(2, stale).args(["--read", "stale"]).run().expect(0);
    }
    cluster.dspex(2, &["cluster", "status"]).run().expect(0);
    cluster.dspex(2, &["cluster", "health"]).run().expect(6);
    cluster.start(0);
    cluster.leader();
    cluster.dspex(2, &["session", "show", "s"]).run().expect(0);
}

#[test]
fn a_leader_that_is_gone_is_not_shown_as_if_it_answered() {
    let mut cluster = Cluster::of(3);
    let leader = cluster.leader();
    let left = (leader + 1) % 3;
    // In this order: the one that is left cannot be elected meanwhile.
    cluster.kill((leader + 2) % 3);
    cluster.kill(leader);
    let status = cluster.dspex(left, &["cluster", "status"]).run().expect(0);
    status.says("nothing can be written");
    let claims: Vec<&str> = status.stdout.lines().filter(|line| line.contains("leader")).collect();
    assert!(claims.iter().all(|line| line.contains("leader (no answer)")), "{claims:?}");
    assert!(status.stdout.contains("(no answer)"), "{}", status.stdout);
    cluster.dspex(left, &["cluster", "health"]).run().expect(6).says("NO_LEADER");
}

/// The outcome of a write is unknown when the leader has begun it and hears no quorum: begun it is only while the leader's
/// lease lasts, which a slow machine may miss. Then it is tried again.
#[test]
fn a_write_whose_outcome_is_not_known_is_sent_again_until_it_is() {
    const TRIES: u32 = 6;
    let cluster = Cluster::of(3);
    for attempt in 0..TRIES {
        let leader = cluster.leader();
        let followers = [(leader + 1) % 3, (leader + 2) % 3].map(|position| cluster.node(position).pid());
        let (kept, late) = (format!("kept-{attempt}"), format!("late-{attempt}"));
        followers.iter().for_each(|pid| process::pause(*pid));
        let keeping = cluster.dspex(leader, &["session", "create", &kept]).start();
        let late = cluster.dspex(leader, &["session", "create", &late, "--command-timeout", "12"]).run();
        followers.iter().for_each(|pid| process::go_on(*pid));
        let kept_said = keeping.finish();
        if [&late, &kept_said].iter().any(|said| !said.stderr.contains("sent again under the same request id")) {
            assert_eq!(late.code, Some(6), "{}", late.describe());
            continue;
        }
        late.expect(6).says("OUTCOME_UNKNOWN").says(&format!("dspex session show late-{attempt}"));
        kept_said.expect(0);
        let shown = cluster.dspex(leader, &["session", "show", &kept, "-o", "json"]).run().expect(0).object();
        assert_eq!(shown["version"], 1);
        return;
    }
    panic!("in {TRIES} tries the leader never began both writes");
}

#[test]
fn a_node_that_is_gone_is_tried_now_and_then_not_all_the_time() {
    let mut cluster = Cluster::of(3);
    let leader = cluster.leader();
    cluster.kill((leader + 1) % 3);
    // Something that the lost node lacks.
    cluster.dspex(leader, &["session", "create", "s"]).run().expect(0);
    std::thread::sleep(Duration::from_secs(5));
    let log = cluster.node(leader).log();
    let attempts =
        log.lines().filter(|line| line.contains("initiate-stream") || line.contains("stream-replication")).count();
    assert!(attempts > 0, "nothing is tried");
    // Twice a second after the first few, and some slack.
    assert!(attempts < 60, "{attempts} attempts in 5 s");
    assert!(log.contains("lost the connection to a peer"), "nobody is told");
}
