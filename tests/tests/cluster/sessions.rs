//! Sessions over every node: one version after another, none applied twice, none lost.

use std::time::Duration;

use dspex_api::reason;
use dspex_api::v1::{CreateSessionRequest, GetSessionRequest, RequestId, UpdateSessionRequest};
use dspex_tests::{Cluster, holds_within};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_session_is_created_changed_shown_listed_and_deleted_through_any_node() {
    let cluster = Cluster::of(3);
    let created = cluster.dspex(0, &["session", "create", "user-1", "--set", "language=\"en\"", "-o", "json"]);
    assert_eq!(created.run().expect(0).object()["version"], 1);
    let updated = cluster.dspex(1, &["session", "update", "user-1", "--set", "visits=2", "-o", "json"]);
    assert_eq!(updated.run().expect(0).object()["version"], 2);
    let shown = cluster.dspex(2, &["session", "show", "user-1", "-o", "json"]).run().expect(0).object();
    assert_eq!((&shown["data"], &shown["version"]), (&json!({"language": "en", "visits": 2}), &json!(2)));
    let first = cluster.dspex(2, &["session", "show", "user-1", "--at", "1", "-o", "json"]).run().expect(0).object();
    assert_eq!(first["data"], json!({"language": "en"}));
    let history = cluster.dspex(0, &["session", "history", "user-1", "-o", "json"]).run().expect(0).object();
    assert_eq!(history["items"][0]["version"], 2);

    let conflict = cluster.dspex(0, &["session", "update", "user-1", "--set", "visits=9", "--if-version", "1"]).run();
    conflict.expect(1).says("VERSION_CONFLICT").says("version 2");
    cluster.dspex(0, &["session", "create", "user-1"]).run().expect(1).says("SESSION_EXISTS");
    cluster.dspex(0, &["session", "show", "user-2"]).run().expect(5).says("SESSION_NOT_FOUND");
    cluster.dspex(0, &["session", "show", "user-1", "--at", "7"]).run().expect(5).says("1 to 2, not 7");
    cluster.dspex(0, &["session", "update", "user-1", "--set", "visits=many"]).run().expect(2).says("quotes");

    cluster.dspex(1, &["session", "create", "user-2"]).run().expect(0);
    cluster.dspex(1, &["session", "create", "zoe"]).run().expect(0);
    let listed = cluster.dspex(2, &["session", "list", "--prefix", "user-", "-o", "json"]).run().expect(0).object();
    let names: Vec<&str> =
        listed["items"].as_array().expect("items").iter().filter_map(|item| item["session"].as_str()).collect();
    assert_eq!((names, &listed["counts"]["sessions"]), (vec!["user-1", "user-2"], &json!(3)));
    cluster.dspex(0, &["session", "delete", "user-1"]).run().expect(2).says("--yes");
    cluster.dspex(0, &["session", "delete", "user-1", "--yes"]).run().expect(0);
    cluster.dspex(1, &["session", "show", "user-1"]).run().expect(5);
}

#[test]
fn a_write_that_is_sent_twice_is_executed_once() {
    let cluster = Cluster::of(3);
    let request =
        |version| RequestId { client: "0190a000-0000-7000-8000-000000000001".to_owned(), request: uuid_now(version) };
    let (create, update) = (request(1), request(2));
    let version = |position: usize, id: &RequestId| {
        cluster.ask(position, async |client| {
            let request = UpdateSessionRequest {
                request_id: Some(id.clone()),
                session_id: "s".to_owned(),
                set: [("n".to_owned(), "1".to_owned())].into(),
                ..UpdateSessionRequest::default()
            };
            client.update_session(request).await
        })
    };
    let created = cluster.ask(0, async |client| {
        let request =
            CreateSessionRequest { request_id: Some(create), session_id: "s".to_owned(), ..Default::default() };
        client.create_session(request).await
    });
    assert_eq!(created.expect("created").version, 1);
    for position in [0, 1, 2, 0] {
        assert_eq!(version(position, &update).expect("written").version, 2, "node {position}");
    }
    let old = RequestId { request: "01800000-0000-7000-8000-000000000001".to_owned(), ..update };
    let error = version(0, &old).expect_err("nobody knows any more whether it was executed");
    assert_eq!(error.reason, reason::REQUEST_TOO_OLD);
}

/// A UUIDv7 of now.
fn uuid_now(number: u32) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_millis();
    let hex = format!("{now:012x}");
    format!("{}-{}-7000-8000-{number:012x}", &hex[..8], &hex[8..])
}

#[test]
fn a_list_that_is_cut_says_so_where_the_format_cannot() {
    let cluster = Cluster::of(1);
    let created = cluster.ask(0, async |client| {
        for number in 0..101 {
            let request_id = Some(RequestId {
                client: "0190a000-0000-7000-8000-000000000001".to_owned(),
                request: uuid_now(number),
            });
            let session_id = format!("s{number:03}");
            client.create_session(CreateSessionRequest { request_id, session_id, ..Default::default() }).await?;
        }
        Ok(())
    });
    created.expect("created");
    let list = |arguments: &[&str]| cluster.dspex(0, &[&["session", "list"][..], arguments].concat()).run().expect(0);
    let csv = list(&["-o", "csv"]);
    csv.says("100 of 101 shown: --all for the rest");
    assert_eq!(csv.stdout.lines().count(), 1 + 100);
    let lines = list(&["-o", "jsonl", "--prefix", "s"]);
    lines.says("100 shown, and there are more: --all");
    assert_eq!(lines.objects().len(), 100);
    list(&["-o", "csv", "-q"]).does_not_say("--all");
    let all = list(&["-o", "jsonl", "--all"]);
    all.does_not_say("--all");
    assert_eq!(all.objects().len(), 101);
    let update = cluster.dspex(0, &["session", "update", "s000", "--ttl", "0"]).run();
    update.expect(2).says("--forever");
}

#[test]
fn every_node_has_the_same_state_at_the_same_index() {
    let cluster = Cluster::of(3);
    for number in 0..20 {
        cluster.dspex(number % 3, &["session", "create", &format!("s{number}")]).run().expect(0);
    }
    let hashes = || -> Vec<_> {
        (0..3)
            .map(|position| cluster.dspex(position, &["cluster", "hash", "-o", "json"]).run().expect(0).object())
            .collect()
    };
    // A follower may be a moment behind.
    let equal = || {
        let hashes = hashes();
        hashes.windows(2).all(|pair| pair[0] == pair[1])
    };
    assert!(holds_within(PATIENCE, equal), "{:?}", hashes());
}

#[test]
fn a_session_ends_by_itself_and_not_early() {
    let cluster = Cluster::of(1);
    let begun = std::time::Instant::now();
    cluster.dspex(0, &["session", "create", "short", "--ttl", "3"]).run().expect(0);
    let lives = || {
        let get = GetSessionRequest { session_id: "short".to_owned(), ..Default::default() };
        cluster.ask(0, async |client| client.session(get.clone()).await).is_ok()
    };
    assert!(lives());
    assert!(holds_within(Duration::from_secs(30), || !lives()), "it does not end");
    assert!(begun.elapsed() >= Duration::from_secs(3), "it ended after {:?}", begun.elapsed());
    let listed = cluster.dspex(0, &["session", "list", "-o", "json"]).run().expect(0).object();
    assert_eq!(listed["items"], json!([]));
}
