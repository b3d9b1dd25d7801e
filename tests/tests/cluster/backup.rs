//! A cluster is saved to a file while it works, and a new one is made of it: with everything that was acknowledged, and
//! nothing that a damaged file could have put in its place.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dspex_tests::{Cluster, Output, Project, holds_within, wait_until};
use serde_json::{Value, json};

use crate::losses::{Ends, count, create};

const PATIENCE: Duration = Duration::from_secs(60);

const PROGRAM: &str = r"
class Program(dspy.Module):
    def __init__(self, pause):
        super().__init__()
        self.pause = pause

    def forward(self, n):
        time.sleep(self.pause)
        return dspy.Prediction(double=2 * int(n))

program = Program(0)
slow = Program(0.3)

def metric(example, prediction):
    return prediction.double == 2 * int(example.n)
";

/// Evaluates 40 examples, and gives what is printed.
fn evaluate(cluster: &Cluster, position: usize, project: &Project, program: &str, more: &[&str]) -> Value {
    project.file("data.jsonl", (0..40).map(|n| format!("{{\"n\": {n}}}\n")).collect::<String>());
    let evaluation = ["eval", program, "--devset", "data.jsonl", "--metric", "program.py:metric", "--inputs", "n"];
    let evaluation = cluster.dspex(position, &evaluation).args(["-o", "json"]).args(more);
    evaluation.directory(project.directory()).run().expect(0).object()
}

fn save(cluster: &Cluster, position: usize, file: &Path) -> Output {
    cluster.dspex(position, &["snapshot", "save", "-o", "json"]).arg(file).run()
}

fn inspect(cluster: &Cluster, file: &Path) -> Output {
    cluster.local(&["snapshot", "inspect", "-o", "json"]).arg(file).run()
}

/// Restores into the directory of a node that has never run.
fn restore(cluster: &Cluster, position: usize, file: &Path) -> Output {
    let restore = cluster.local(&["snapshot", "restore", "-o", "json"]).arg(file);
    restore.arg("--config").arg(cluster.node(position).config()).run()
}

fn object(cluster: &Cluster, position: usize, arguments: &[&str]) -> Value {
    cluster.dspex(position, arguments).args(["-o", "json"]).run().expect(0).object()
}

/// One more voter; its position.
fn grow(cluster: &mut Cluster, asked: usize) -> usize {
    let added = cluster.add();
    cluster.start(added);
    let address = format!("127.0.0.1:{}", cluster.node(added).peers);
    let id = object(cluster, asked, &["member", "add", &address])["id"].to_string();
    assert_eq!(object(cluster, asked, &["member", "promote", &id])["role"], "voter");
    added
}

/// Saves through a follower while a client counts up in a session. What was acknowledged before, what the file says, and what
/// was acknowledged in the end.
fn save_while_a_client_writes(cluster: &Cluster, leader: usize, file: &Path) -> (u64, Value, u64) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let client = runtime.block_on(async {
        let client = cluster.client(leader).await.expect("it answers");
        create(&client, "counter").await;
        client
    });
    let (stop, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| runtime.block_on(count(client, "counter", &stop, &acknowledged)));
        let _ends = Ends(&stop);
        assert!(holds_within(PATIENCE, || acknowledged.load(Ordering::Relaxed) >= 20), "nothing is written");
        let before = acknowledged.load(Ordering::Relaxed);
        let saved = save(cluster, (leader + 1) % 3, file).expect(0).object();
        stop.store(true, Ordering::Relaxed);
        writing.join().expect("the writer ends well");
        (before, saved, acknowledged.load(Ordering::Relaxed))
    })
}

#[test]
fn a_cluster_that_was_saved_while_it_worked_lives_on_in_another_one() {
    let mut old = Cluster::of(3);
    let leader = old.leader();
    let (project, files) = (Project::new(PROGRAM), tempfile::tempdir().expect("a directory"));
    let run = evaluate(&old, 0, &project, "program.py:program", &[]);
    let (id, digest) = (run["run_id"].as_str().expect("an id").to_owned(), run["digest"].clone());
    old.dspex(0, &["session", "create", "user-1", "--set", "language=\"en\""]).run().expect(0);
    old.dspex(1, &["session", "update", "user-1", "--set", "visits=2"]).run().expect(0);
    let token = files.path().join("token");
    fs::write(&token, old.dspex(2, &["token", "create", "ci", "--role", "reader"]).run().expect(0).stdout)
        .expect("written");

    let file = files.path().join("backup.snapshot");
    let (before, saved, after) = save_while_a_client_writes(&old, leader, &file);
    assert_eq!(fs::metadata(&file).expect("saved").permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(files.path()).expect("readable").count(), 2, "nothing else is left there");
    let inspected = inspect(&old, &file).expect(0).object();
    for field in ["cluster_id", "node_id", "term", "index", "confirmed", "log_time_unix_ms", "blobs", "bytes", "sha256"]
    {
        assert_eq!(inspected[field], saved[field], "{field}");
    }
    assert_eq!(inspected["cluster_id"], old.status(leader).cluster_id.as_str());
    for (field, expected) in [("sessions", 2), ("runs", 1), ("tokens", 1), ("members", 3)] {
        assert_eq!(inspected[field], expected, "{field} of {inspected}");
    }
    let trail = object(&old, leader, &["audit", "list"]);
    assert_eq!(trail["items"][0]["action"], "snapshot save", "{trail}");
    (0..3).for_each(|position| old.kill(position));

    let mut new = Cluster::formed_of(1);
    let restored = restore(&new, 0, &file).expect(0);
    restored.says("1 token(s) of the old cluster").says("start it: dspex node --config");
    let restored = restored.object();
    assert_eq!((&restored["restored_from"], &restored["interrupted_runs"]), (&saved["cluster_id"], &json!(0)));
    assert_ne!(restored["cluster_id"], saved["cluster_id"]);
    new.start(0);
    new.leader();
    let (second, third) = (grow(&mut new, 0), grow(&mut new, 0));
    new.kill(0);
    // Whoever leads now has all of it.
    for position in [second, third] {
        let status = object(&new, position, &["cluster", "status"]);
        assert_eq!(status["cluster_id"], restored["cluster_id"]);
        let names: Vec<_> = status["members"].as_array().expect("members").iter().map(|one| &one["name"]).collect();
        assert_eq!(names.len(), 3, "the members of the old cluster are gone: {names:?}");
        let shown = object(&new, position, &["session", "show", "user-1"]);
        assert_eq!((&shown["data"], &shown["version"]), (&json!({"language": "en", "visits": 2}), &json!(2)));
        let first = object(&new, position, &["session", "show", "user-1", "--at", "1"]);
        assert_eq!(first["data"], json!({"language": "en"}));
        let counted = object(&new, position, &["session", "show", "counter"])["data"]["n"].as_u64().unwrap_or(0);
        assert!((before..=after).contains(&counted), "{before} were acknowledged, {counted} are there, of {after}");
        let run = object(&new, position, &["run", "show", &id]);
        assert_eq!((&run["status"], &run["digest"]), (&json!("finished"), &digest));
        let results = object(&new, position, &["run", "results", &id]);
        let rows = results["items"].as_array().expect("items");
        assert_eq!(rows.len(), 40);
        assert!(rows.iter().all(|row| row["prediction"]["double"].is_u64()), "{results}");
    }
    let list = new.dspex(second, &["session", "list"]).env("DSPEX_TOKEN_FILE", &token);
    list.run().expect(0);
    new.dspex(second, &["session", "create", "after"]).run().expect(0);
    let trail = object(&new, third, &["audit", "list", "--all"]);
    let items = trail["items"].as_array().expect("items");
    assert!(items.iter().any(|item| item["action"] == "snapshot restore"), "{trail}");
}

#[test]
fn a_run_that_was_running_is_interrupted_and_goes_on_where_it_was() {
    let mut old = Cluster::of(1);
    let (project, files) = (Project::new(PROGRAM), tempfile::tempdir().expect("a directory"));
    let run = evaluate(&old, 0, &project, "program.py:slow", &["--detach", "--workers", "1", "--num-threads", "1"]);
    let id = run["run_id"].as_str().expect("an id").to_owned();
    let done = wait_until("some examples have results", PATIENCE, || {
        object(&old, 0, &["run", "show", &id])["done"].as_u64().filter(|done| *done >= 3)
    });
    let file = files.path().join("backup.snapshot");
    save(&old, 0, &file).expect(0);
    old.kill(0);

    let mut new = Cluster::formed_of(1);
    restore(&new, 0, &file).expect(0).says("1 run(s) were running and are interrupted");
    new.start(0);
    let shown = object(&new, 0, &["run", "show", &id]);
    assert_eq!((&shown["status"], &shown["generation"]), (&json!("interrupted"), &json!(2)), "{shown}");
    assert!(shown["done"].as_u64() >= Some(done), "{shown}");
    let resumed = object(&new, 0, &["run", "resume", &id]);
    assert_eq!((&resumed["status"], &resumed["score"]), (&json!("finished"), &json!(100.0)), "{resumed}");
}

/// A file of a cluster of one, with a session and a run, and the cluster.
fn small_snapshot(directory: &Path) -> (Cluster, PathBuf) {
    let (cluster, project) = (Cluster::of(1), Project::new(PROGRAM));
    evaluate(&cluster, 0, &project, "program.py:program", &[]);
    cluster.dspex(0, &["session", "create", "kept"]).run().expect(0);
    let file = directory.join("backup.snapshot");
    save(&cluster, 0, &file).expect(0);
    (cluster, file)
}

#[test]
fn a_damaged_file_is_refused_whatever_is_damaged_and_leaves_nothing_behind() {
    let files = tempfile::tempdir().expect("a directory");
    let (_running, file) = small_snapshot(files.path());
    let bytes = fs::read(&file).expect("readable");
    let (new, damaged) = (Cluster::formed_of(1), files.path().join("damaged"));
    let refused = |bytes: &[u8], what: &str| {
        fs::write(&damaged, bytes).expect("written");
        inspect(&new, &damaged).expect(1).says("SNAPSHOT_DAMAGED").says(what);
        restore(&new, 0, &damaged).expect(1).says("SNAPSHOT_DAMAGED").says(what);
        assert!(!new.node(0).data().exists(), "a damaged {what} leaves something behind");
    };
    let state = bytes.windows(8).position(|window| window == b"DSPXSNAP").expect("a state");
    for (position, what) in [
        (0, "does not begin as a snapshot"),
        (20, "header fails its checksum"),
        (state - 12, "length of the snapshot's state"),
        (state + 200, "snapshot"),
        (bytes.len() - 33, "does not match its digest"),
        (bytes.len() - 1, "fails its digest"),
    ] {
        let mut flipped = bytes.clone();
        flipped[position] ^= 0x10;
        refused(&flipped, what);
    }
    refused(&bytes[..bytes.len() / 2], "cut short");
    refused(&bytes[..bytes.len() - 1], "cut short");
    refused(&[&bytes[..], b"x"].concat(), "after the end");
    refused(b"something else entirely", "does not begin as a snapshot");
    let mut newer = bytes;
    newer[8] += 1;
    fs::write(&damaged, newer).expect("written");
    inspect(&new, &damaged).expect(1).says("SNAPSHOT_NEWER").says("newer dspex");
    inspect(&new, Path::new("/nonexistent")).expect(2).says("/nonexistent");
    // The control.
    restore(&new, 0, &file).expect(0);
}

#[test]
fn a_restore_makes_a_directory_and_never_changes_one() {
    let files = tempfile::tempdir().expect("a directory");
    let (mut old, file) = small_snapshot(files.path());
    let refused = restore(&old, 0, &file).expect(2);
    refused.says("DATA_DIRECTORY_NOT_EMPTY").says(&old.node(0).data().display().to_string());
    old.terminate(0);
    restore(&old, 0, &file).expect(2).says("DATA_DIRECTORY_NOT_EMPTY");
    old.start(0);
    old.dspex(0, &["session", "show", "kept"]).run().expect(0);

    let home = files.path().join("by-hand");
    let by_hand = || old.local(&["snapshot", "restore", "--data-dir"]).arg(&home).arg(&file);
    by_hand().args(["--advertise", "nowhere"]).run().expect(2).says("HOST:PORT");
    old.local(&["snapshot", "restore"]).arg(&file).run().expect(2);
    by_hand().run().expect(0).says("stays alone");
    by_hand().run().expect(2).says("DATA_DIRECTORY_NOT_EMPTY");
}

#[test]
fn a_restore_that_was_killed_is_told_from_a_whole_one_and_can_be_repeated() {
    let files = tempfile::tempdir().expect("a directory");
    let (_running, file) = small_snapshot(files.path());
    let mut new = Cluster::formed_of(1);
    let home = new.node(0).data();
    let (whole, half) = (home.join("data"), home.join("data.restoring"));
    let mut cut_short = 0;
    for step in 1..400 {
        let mut restoring =
            new.local(&["snapshot", "restore"]).arg(&file).arg("--config").arg(new.node(0).config()).start();
        let ends_by_itself = holds_within(Duration::from_millis(4 * step), || !restoring.runs());
        let ended = restoring.kill();
        if ends_by_itself {
            ended.expect(0);
            break;
        }
        if whole.exists() {
            break;
        }
        if half.exists() {
            cut_short += 1;
            if cut_short == 1 {
                let node = new.local(&["node", "--config"]).arg(new.node(0).config()).run().expect(6);
                node.says("DATA_DIRECTORY_HALF_RESTORED").says("dspex snapshot restore");
            }
        }
    }
    assert!(cut_short > 0, "no kill came in the middle");
    assert!(whole.exists() && !half.exists());
    new.start(0);
    new.leader();
    new.dspex(0, &["session", "show", "kept"]).run().expect(0);
}

#[test]
fn only_an_admin_saves_only_what_a_quorum_confirms_and_never_over_another_file() {
    let mut cluster = Cluster::of(3);
    let files = tempfile::tempdir().expect("a directory");
    let file = files.path().join("backup.snapshot");
    let secret = cluster.dspex(0, &["token", "create", "ci", "--role", "runner"]).run().expect(0).stdout;
    let token = files.path().join("token");
    fs::write(&token, secret).expect("written");
    let by_runner = cluster.dspex(0, &["snapshot", "save"]).arg(&file).env("DSPEX_TOKEN_FILE", &token);
    by_runner.run().expect(4).says("PERMISSION_DENIED").says("needs admin");

    save(&cluster, 0, &file).expect(0);
    save(&cluster, 1, &file).expect(2).says("is there already");
    save(&cluster, 1, &files.path().join("no/such/directory")).expect(2).says("there is no directory");
    let inspected = inspect(&cluster, &file).expect(0).object();
    assert_eq!((&inspected["sessions"], &inspected["blobs"]), (&json!(0), &json!(0)));

    cluster.kill(0);
    cluster.kill(1);
    let late = files.path().join("late.snapshot");
    save(&cluster, 2, &late).expect(6).says("NO_LEADER").says("--read stale");
    assert_eq!(fs::read_dir(files.path()).expect("readable").count(), 2, "nothing is left of it");

    // What one node has is better than nothing, and says that it is no more.
    let stale = cluster.dspex(2, &["snapshot", "save", "--read", "stale"]).arg(&late).run().expect(0);
    stale.says("no quorum has confirmed it");
    assert_eq!(inspect(&cluster, &late).expect(0).object()["confirmed"], false);
    let mut new = Cluster::formed_of(1);
    restore(&new, 0, &late).expect(0).says("no quorum had confirmed the snapshot");
    new.start(0);
    new.leader();
    let tokens = object(&new, 0, &["token", "list"]);
    assert_eq!(tokens["items"].as_array().map_or(0, Vec::len), 1, "{tokens}");
}
