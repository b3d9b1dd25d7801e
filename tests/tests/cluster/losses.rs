//! What was acknowledged stays, whichever node is lost.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dspex_api::Client;
use dspex_api::v1::{CreateSessionRequest, GetSessionRequest, RequestId, UpdateSessionRequest};
use dspex_tests::Cluster;

fn request_id(number: u64) -> Option<RequestId> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_millis();
    let hex = format!("{now:012x}");
    let request = format!("{}-{}-7000-8000-{number:012x}", &hex[..8], &hex[8..]);
    Some(RequestId { client: "0190a000-0000-7000-8000-000000000001".to_owned(), request })
}

async fn create(client: &Client, session: &str) {
    let request = CreateSessionRequest {
        request_id: request_id(0),
        session_id: session.to_owned(),
        ..CreateSessionRequest::default()
    };
    client.create_session(request).await.expect("created");
}

/// Counts up in one session until it is told to stop; what was acknowledged last.
async fn count(client: Client, session: &str, stop: &AtomicBool, acknowledged: &AtomicU64) {
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
    cluster.dspex(2, &["session", "show", "s", "--command-timeout", "15"]).run().expect(6);
    cluster.dspex(2, &["session", "show", "s", "--read", "stale"]).run().expect(0);
    cluster.dspex(2, &["cluster", "status"]).run().expect(0);
    cluster.dspex(2, &["cluster", "health"]).run().expect(6);
    cluster.start(0);
    cluster.leader();
    cluster.dspex(2, &["session", "show", "s"]).run().expect(0);
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
