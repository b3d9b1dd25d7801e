//! What was acknowledged stays, once, whichever node is lost, and nobody's write is lost to another's.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dspex_api::reason;
use dspex_api::v1::{GetVariableRequest, SetVariableRequest};
use dspex_tests::Cluster;

use crate::request::{get, id, put};

/// Tells the writers to end however the test ends.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_client_that_keeps_storing_loses_no_version_when_leaders_are_killed() {
    let mut cluster = Cluster::of(3);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let asked = (cluster.leader() + 1) % 3;
    let client = runtime.block_on(cluster.client(asked)).expect("it answers");
    let (stop, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            runtime.block_on(async {
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    let mut request = put(number, "counted", "q -> a");
                    request.set = [("n".to_owned(), number.to_string())].into();
                    // Under the same id until it is answered: it counts once.
                    while let Err(error) = client.put_program(request.clone()).await {
                        assert!(!stop.load(Ordering::Relaxed), "not answered: {error}");
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    acknowledged.store(number, Ordering::Relaxed);
                }
            });
        });
        let _ends = Ends(&stop);
        let mut kills = 0;
        while kills < 3 {
            let leader = cluster.leader();
            if leader == asked {
                // The client's own node stays.
                let name = format!("node-{}", (asked + 1) % 3);
                cluster.dspex(asked, &["member", "transfer-leader", &name]).run().expect(0);
                continue;
            }
            reaches(&acknowledged, 20);
            cluster.kill(leader);
            reaches(&acknowledged, 2);
            cluster.start(leader);
            kills += 1;
        }
        stop.store(true, Ordering::Relaxed);
        writing.join().expect("the writer ends well");
    });
    let written = acknowledged.load(Ordering::Relaxed);
    for position in 0..3 {
        let program = cluster.ask(position, async |client| client.program(get("counted")).await).expect("it is there");
        assert_eq!(
            (program.version, program.variables["n"].clone()),
            (written, written.to_string()),
            "node {position}"
        );
    }
}

/// Waits until so many more were acknowledged.
fn reaches(acknowledged: &AtomicU64, more: u64) {
    let (begun, before) = (Instant::now(), acknowledged.load(Ordering::Relaxed));
    while acknowledged.load(Ordering::Relaxed) < before + more {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing is written any more");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn of_writers_at_every_node_each_counts_where_it_saw_what_stood_there() {
    const WRITES: u64 = 20;
    let cluster = Cluster::of(3);
    let set = |number: u64, value: u64, expected: u64, position: usize| {
        let request = SetVariableRequest {
            request_id: id(number),
            name: "n".to_owned(),
            expected_version: Some(expected),
            value: value.to_string(),
        };
        cluster.ask(position, async |client| client.set_variable(request).await)
    };
    let get = |position: usize| {
        let request = GetVariableRequest { name: "n".to_owned(), ..GetVariableRequest::default() };
        cluster.ask(position, async |client| client.variable(request).await).expect("it is there")
    };
    assert_eq!(set(0, 0, 0, 0).expect("made").version, 1);
    let conflicts = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for position in 0..3_usize {
            let (set, get, conflicts) = (&set, &get, &conflicts);
            scope.spawn(move || {
                let (mut done, mut number) = (0, 1000 * (position as u64 + 1));
                while done < WRITES {
                    let held = get(position);
                    number += 1;
                    match set(number, held.value.parse::<u64>().expect("a number") + 1, held.version, position) {
                        Ok(_) => done += 1,
                        Err(error) => {
                            assert_eq!(error.reason, reason::VERSION_CONFLICT, "{error}");
                            let current: u64 =
                                error.get("current").and_then(|text| text.parse().ok()).expect("it is said");
                            assert!(current > held.version, "{current} after {}", held.version);
                            conflicts.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    eprintln!("{} conflicts", conflicts.load(Ordering::Relaxed));
    for position in 0..3 {
        let held = get(position);
        assert_eq!((held.value, held.version), ((3 * WRITES).to_string(), 3 * WRITES + 1), "node {position}");
    }
}

#[test]
fn every_node_has_the_same_state_and_a_snapshot_has_all_of_it() {
    let cluster = Cluster::of(3);
    for number in 0..9 {
        let name = format!("p{}", number % 3);
        cluster
            .ask(number as usize % 3, async |client| client.put_program(put(number, &name, "q -> a")).await)
            .expect("put");
        let variable =
            SetVariableRequest { request_id: id(100 + number), name, value: "1".to_owned(), ..Default::default() };
        cluster.ask(number as usize % 3, async |client| client.set_variable(variable).await).expect("set");
    }
    let hashes = || -> Vec<_> {
        (0..3)
            .map(|position| cluster.dspex(position, &["cluster", "hash", "-o", "json"]).run().expect(0).object())
            .collect()
    };
    let equal = || hashes().windows(2).all(|pair| pair[0] == pair[1]);
    assert!(dspex_tests::holds_within(Duration::from_secs(60), equal), "{:?}", hashes());
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("it.snapshot");
    cluster.dspex(1, &["snapshot", "save"]).arg(&file).run().expect(0);
    let inspected = cluster.local(&["snapshot", "inspect", "-o", "json"]).arg(&file).run().expect(0).object();
    assert_eq!((&inspected["programs"], &inspected["variables"]), (&serde_json::json!(3), &serde_json::json!(3)));
}

#[test]
fn a_reader_looks_and_changes_nothing() {
    let cluster = Cluster::of(1);
    let files = tempfile::tempdir().expect("a directory");
    let file = files.path().join("reader");
    let secret = cluster.dspex(0, &["token", "create", "a-reader", "--role", "reader"]).run().expect(0).stdout;
    std::fs::write(&file, secret).expect("written");
    cluster.dspex(0, &["program", "put", "qa", "--signature", "q -> a"]).run().expect(0);
    cluster.dspex(0, &["variable", "set", "t", "1"]).run().expect(0);
    let as_reader = |arguments: &[&str]| cluster.dspex(0, arguments).args(["--token-file"]).arg(&file).run();
    for arguments in [
        &["program", "list"][..],
        &["program", "show", "qa"],
        &["program", "history", "qa"],
        &["program", "optimizations", "qa"],
        &["variable", "show", "t"],
        &["variable", "list"],
        &["variable", "history", "t"],
    ] {
        as_reader(arguments).expect(0);
    }
    for arguments in [
        &["program", "put", "qa", "--signature", "q -> b"][..],
        &["program", "status", "qa", "ready"],
        &["program", "delete", "qa", "--yes"],
        &["variable", "set", "t", "2"],
        &["variable", "delete", "t", "--yes"],
    ] {
        as_reader(arguments).expect(4).says("PERMISSION_DENIED");
    }
}
