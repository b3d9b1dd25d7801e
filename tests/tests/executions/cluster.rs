//! Executions of several nodes: every node shows all of them, whichever was lost and came back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dspex_api::Client;
use dspex_api::v1::{Freshness, ListExecutionsRequest, OpenPoolRequest};
use dspex_tests::{Cluster, Project, holds_within, wait_until};
use serde_json::Value;

use crate::subject::{PATIENCE, TOOLS, field, items, pages, request};

const LIMIT: Duration = Duration::from_secs(120);

/// A cluster whose pools record all calls, and a project with functions to call.
struct Subject {
    cluster: Cluster,
    project: Project,
}

impl Subject {
    fn new() -> Self {
        let mut cluster = Cluster::formed_of(3);
        (0..3).for_each(|position| record_all(&cluster, position));
        (0..3).for_each(|position| cluster.start(position));
        cluster.leader();
        Self { cluster, project: Project::new(TOOLS) }
    }

    fn command(&self, name: &str) -> String {
        format!("{}:{name}", self.project.path("program.py").display())
    }

    /// Calls through a node, one after another.
    fn call(&self, position: usize, name: &str, arguments: &[String]) {
        let command = self.command(name);
        self.cluster
            .ask(position, async |client| {
                let pool_id = open(&client).await?;
                for arguments in arguments {
                    client.call_pool(request(&pool_id, &command, arguments), LIMIT).await?;
                }
                Ok(())
            })
            .expect("called");
    }

    /// What a node has of all executions, whether or not anybody else does; newest first.
    fn has(&self, position: usize) -> Vec<dspex_api::v1::Execution> {
        let all = ListExecutionsRequest {
            limit: 1000,
            values: true,
            freshness: Freshness::Stale.into(),
            ..ListExecutionsRequest::default()
        };
        self.cluster.ask(position, async |client| pages(&client, all).await).unwrap_or_default()
    }

    /// Waits until all of these nodes have so many, the same ones.
    #[track_caller]
    fn agree(&self, positions: &[usize], count: usize) -> Vec<dspex_api::v1::Execution> {
        wait_until(&format!("all have {count} executions"), PATIENCE, || {
            let lists: Vec<_> = positions.iter().map(|position| self.has(*position)).collect();
            let same = lists.iter().all(|list| list.len() == count && *list == lists[0]);
            same.then(|| lists.into_iter().next()).flatten()
        })
    }

    /// The digest of a node's state with the entry that it belongs to.
    fn hash(&self, position: usize) -> (Value, Value) {
        let hash = self.cluster.dspex(position, &["cluster", "hash", "-o", "json"]).run().expect(0).object();
        (hash["applied_index"].clone(), hash["hash"].clone())
    }
}

fn record_all(cluster: &Cluster, position: usize) {
    let config = cluster.node(position).config();
    let file = std::fs::read_to_string(&config).expect("readable");
    std::fs::write(config, format!("{file}[pools.general]\nworkers = 1\nrecord = \"all\"\n")).expect("written");
}

async fn open(client: &Client) -> Result<String, dspex_api::ApiError> {
    client.open_pool(OpenPoolRequest { pool: "general".to_owned(), caller: None }).await
}

fn numbers(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|n| n.to_string()).collect()
}

fn save(cluster: &Cluster, position: usize, file: &Path) -> Value {
    cluster.dspex(position, &["snapshot", "save", "-o", "json"]).arg(file).run().expect(0).object()
}

#[test]
fn every_node_shows_the_same_executions_whichever_were_killed_meanwhile() {
    let mut subject = Subject::new();
    for position in 0..3 {
        subject.call(position, "double", &numbers(0, 20));
    }
    subject.agree(&[0, 1, 2], 60);
    for round in 0..3 {
        let leader = subject.cluster.leader();
        let asked = (leader + 1) % 3;
        subject.cluster.kill(leader);
        // It waits for nobody that a leader is missing.
        subject.call(asked, "double", &numbers(100 * round, 100 * round + 20));
        subject.cluster.start(leader);
    }
    let all = subject.agree(&[0, 1, 2], 120);
    let counted: Vec<u64> = all.iter().map(|execution| execution.number).rev().collect();
    assert_eq!(counted, (1..=120).collect::<Vec<_>>(), "none twice, none left out");
    let equal = || {
        let hashes: Vec<_> = (0..3).map(|position| subject.hash(position)).collect();
        hashes.iter().all(|hash| *hash == hashes[0])
    };
    assert!(holds_within(PATIENCE, equal), "the states differ");
    let nodes: std::collections::BTreeSet<u64> = all.iter().map(|execution| execution.node_id).collect();
    assert_eq!(nodes.len(), 3, "each says where it was executed");
}

#[test]
fn a_call_in_a_session_is_recorded_at_its_home_and_found_by_its_session_on_every_node() {
    let subject = Subject::new();
    subject.cluster.dspex(0, &["session", "create", "s"]).run().expect(0);
    let execute = |position: usize, name: &str, arguments: &str| {
        subject.cluster.dspex(position, &["session", "execute", "s", &subject.command(name), arguments]).run()
    };
    execute(0, "double", "21").expect(0);
    // Whoever is asked, it is executed at home.
    execute(1, "fails", r#"{"text": "no such thing"}"#).expect(1);
    subject.call(2, "double", &numbers(0, 3));
    subject.agree(&[0, 1, 2], 5);
    for position in 0..3 {
        let list = |more: &[&str]| {
            let list = ["execution", "list", "--session", "s", "--values", "-o", "json"];
            items(&subject.cluster.dspex(position, &list).args(more).run().expect(0).object())
        };
        let listed = list(&[]);
        assert_eq!(field(&listed, "status"), ["failed", "succeeded"], "asked at node {position}");
        assert_eq!(field(&listed, "actor"), ["node token", "node token"]);
        assert_eq!((&listed[1]["session"], &listed[1]["output"]), (&Value::from("s"), &Value::from(42)));
        assert_eq!(listed[0]["node_id"], listed[1]["node_id"]);
        assert_eq!(list(&["--status", "failed"]), listed[..1]);
        assert_eq!(list(&["--program", &subject.command("double")]), listed[1..]);
    }
}

#[test]
fn without_a_quorum_calls_are_answered_as_before_and_recorded_when_there_is_one_again() {
    let mut subject = Subject::new();
    let leader = subject.cluster.leader();
    let (asked, other) = ((leader + 1) % 3, (leader + 2) % 3);
    subject.call(asked, "double", &numbers(0, 50));
    subject.agree(&[0, 1, 2], 50);
    subject.cluster.kill(leader);
    subject.cluster.kill(other);
    // More than wait for their records: the rest goes on without.
    subject.call(asked, "double", &numbers(50, 1200));
    subject.cluster.dspex(asked, &["execution", "list"]).run().expect(6).says("--read stale");
    let stale = subject.cluster.dspex(asked, &["execution", "list", "--read", "stale", "-o", "json"]).run().expect(0);
    assert_eq!(items(&stale.object()).len(), 50, "none of them has waited for its record");
    let log = subject.cluster.node(asked).log();
    assert!(log.contains("executions go on without being recorded"), "{log}");
    subject.cluster.start(leader);
    subject.cluster.start(other);
    let recorded = || {
        let counts: Vec<usize> = (0..3).map(|position| subject.has(position).len()).collect();
        let all_same = counts.iter().all(|count| *count == counts[0]);
        (counts[0] > 1000 && all_same).then(|| counts[0])
    };
    let count = wait_until("what waited is recorded", PATIENCE, recorded);
    assert!(count < 1200, "{count}: some were left out");
    // And it goes on from there.
    let newest = subject.has(asked)[0].number;
    subject.call(asked, "double", &numbers(0, 10));
    wait_until("new ones are recorded", PATIENCE, || (subject.has(asked)[0].number == newest + 10).then_some(()));
}

#[test]
fn executions_and_their_values_live_on_in_a_restored_cluster_and_reach_its_new_nodes() {
    let subject = Subject::new();
    let repeat = r#"{"text": "long ", "times": 20000}"#.to_owned();
    subject.call(0, "double", &numbers(0, 30));
    subject.call(1, "repeat", &[repeat]);
    let before = subject.agree(&[0, 1, 2], 31);
    let files = tempfile::tempdir().expect("a directory");
    let file = files.path().join("saved.snapshot");
    assert!(save(&subject.cluster, 2, &file)["blobs"].as_u64() >= Some(1));
    let inspected = subject.cluster.local(&["snapshot", "inspect", "-o", "json"]).arg(&file).run().expect(0).object();
    assert_eq!(inspected["executions"], 31, "{inspected}");

    let mut restored = Subject { cluster: Cluster::formed_of(1), project: Project::new(TOOLS) };
    let config: PathBuf = restored.cluster.node(0).config();
    let restore = restored.cluster.local(&["snapshot", "restore", "-o", "json"]).arg(&file).arg("--config").arg(config);
    assert_eq!(restore.run().expect(0).object()["executions"], 31);
    record_all(&restored.cluster, 0);
    restored.cluster.start(0);
    restored.cluster.leader();
    assert_eq!(restored.agree(&[0], 31), before);
    restored.call(0, "double", &numbers(0, 1));
    let now = restored.agree(&[0], 32);
    assert_eq!(now[0].number, before[0].number + 1, "numbers go on");

    // Its log begins behind all that: a new node gets the records as a snapshot, and the blobs before it has a vote.
    let added = restored.cluster.add();
    restored.cluster.start(added);
    let address = format!("127.0.0.1:{}", restored.cluster.node(added).peers);
    let member = restored.cluster.dspex(0, &["member", "add", &address, "-o", "json"]).run().expect(0).object();
    restored.cluster.dspex(0, &["member", "promote", &member["id"].to_string()]).run().expect(0);
    assert_eq!(restored.agree(&[0, added], 32), now);
    let large = now.iter().find(|one| one.program.ends_with(":repeat")).expect("kept");
    let digest = large.output.as_ref().expect("an output").digest.clone();
    let bytes = restored.cluster.ask(added, async |client| client.get_blob(&digest).await).expect("kept");
    assert_eq!(bytes.len(), 100_002);
}

#[test]
fn a_reader_looks_at_executions_and_only_an_admin_forgets_them() {
    let subject = Subject::new();
    subject.call(0, "double", &numbers(0, 2));
    subject.agree(&[0, 1, 2], 2);
    let files = tempfile::tempdir().expect("a directory");
    for role in ["reader", "runner"] {
        let token = files.path().join(role);
        let made = subject.cluster.dspex(0, &["token", "create", role, "--role", role]).run().expect(0);
        std::fs::write(&token, made.stdout).expect("written");
        let as_role = |arguments: &[&str]| {
            let holds = || {
                let dspex = subject.cluster.dspex(1, arguments).env("DSPEX_TOKEN_FILE", &token).run();
                // A token is known to each node a moment after it was made.
                (!dspex.stderr.contains("UNAUTHENTICATED")).then_some(dspex)
            };
            wait_until("the token is known", PATIENCE, holds)
        };
        let listed = items(&as_role(&["execution", "list", "-o", "json"]).expect(0).object());
        assert_eq!(field(&listed, "actor"), ["node token", "node token"]);
        let id = listed[0]["execution"].as_str().expect("an id");
        as_role(&["execution", "show", id]).expect(0);
        as_role(&["execution", "clear", "--yes"]).expect(4).says("PERMISSION_DENIED");
    }
    subject.cluster.dspex(2, &["execution", "clear", "--yes"]).run().expect(0);
    subject.agree(&[0, 1, 2], 0);
}
