//! Large definitions are blobs: on a majority before the log names them, at every node soon after, and gone with their program.

use std::time::Duration;

use dspex_api::{Address, Client, Credentials, TimeLimits, reason};
use dspex_tests::{Cluster, Home, Project, holds_within};
use serde_json::{Value, json};

use crate::request::{get, put};

const PATIENCE: Duration = Duration::from_secs(60);

/// With so many demos in its saved state.
fn definition(demos: usize, mark: &str) -> String {
    let demos: Vec<Value> =
        (0..demos).map(|number| json!({"q": format!("{mark} {number}"), "a": "x".repeat(1000)})).collect();
    json!({"signature": "q -> a", "state": {"demos": demos}}).to_string()
}

#[test]
fn a_large_definition_is_read_at_every_node_after_the_one_that_took_it_is_lost() {
    let mut cluster = Cluster::of(3);
    let leader = cluster.leader();
    let written = definition(2200, "kept");
    assert!(written.len() > 2 << 20, "more than one piece of a blob");
    let mut request = put(1, "large", "q -> a");
    request.definition = Some(written.clone());
    cluster.ask(leader, async |client| client.put_program(request).await).expect("put");
    cluster.kill(leader);
    for position in (0..3).filter(|position| *position != leader) {
        let shown = cluster.ask(position, async |client| client.program(get("large")).await).expect("shown");
        assert!(shown.definition == written, "node {position} shows {} bytes", shown.definition.len());
        assert_eq!(shown.definition_digest.len(), 64);
    }
    // A node that was away gets what it missed.
    let mut request = put(2, "large", "q -> a");
    let second = definition(30, "second");
    request.definition = Some(second.clone());
    cluster.ask((leader + 1) % 3, async |client| client.put_program(request).await).expect("put");
    cluster.start(leader);
    let same = || {
        let shown = cluster.ask(leader, async |client| client.program(get("large")).await);
        shown.is_ok_and(|shown| shown.definition == second && shown.version == 2)
    };
    assert!(holds_within(PATIENCE, same), "the node that was away does not show the second version");
}

#[test]
fn the_blob_of_a_deleted_program_goes() {
    let home = Home::new();
    let project = Project::empty();
    project.file("large.json", definition(50, "gone"));
    project.file("kept.json", definition(50, "kept"));
    let run = |arguments: &[&str]| home.dspex(arguments).directory(project.directory()).run();
    for name in ["one", "two"] {
        run(&["program", "put", name, "large.json"]).expect(0);
    }
    run(&["program", "put", "kept", "kept.json"]).expect(0);
    let save = || {
        let file = project.directory().join("it.snapshot");
        let _ = std::fs::remove_file(&file);
        run(&["snapshot", "save", "it.snapshot", "-o", "json"]).expect(0).object()["blobs"].as_u64().expect("a number")
    };
    assert_eq!(save(), 2, "one for both of the equal ones");
    run(&["program", "delete", "one", "--yes"]).expect(0);
    assert_eq!(save(), 2, "the other one still names it");
    run(&["program", "delete", "two", "--yes"]).expect(0);
    assert_eq!(save(), 1);
    let shown = run(&["program", "show", "kept", "-o", "json"]).expect(0).object();
    assert_eq!(shown["definition"]["state"]["demos"].as_array().map(Vec::len), Some(50));
}

#[test]
fn the_disk_of_a_node_is_freed_of_what_no_program_names() {
    let home = Home::new();
    let project = Project::empty();
    project.file("large.json", definition(50, "gone"));
    let run = |arguments: &[&str]| home.dspex(arguments).directory(project.directory()).run();
    run(&["program", "put", "large", "large.json"]).expect(0);
    let shown = run(&["program", "show", "large", "-o", "json"]).expect(0).object();
    let digest = shown["definition_digest"].as_str().expect("a large one").to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let address = Address::Unix(home.path().join("node.sock"));
    let is_there = || {
        runtime.block_on(async {
            let client = Client::connect(address.clone(), Credentials::default(), TimeLimits::default()).await?;
            client.get_blob(&digest).await
        })
    };
    assert!(is_there().is_ok(), "{:?}", is_there());
    run(&["program", "delete", "large", "--yes"]).expect(0);
    let gone = || is_there().is_err_and(|error| error.reason == reason::BLOB_NOT_FOUND);
    assert!(holds_within(PATIENCE, gone), "the blob stays");
}

#[test]
fn a_definition_has_at_most_16_mib_and_the_rest_of_a_version_48_kib() {
    let cluster = Cluster::of(1);
    let refused = |change: &dyn Fn(&mut dspex_api::v1::PutProgramRequest)| {
        let mut request = put(1, "large", "q -> a");
        change(&mut request);
        cluster.ask(0, async |client| client.put_program(request).await).expect_err("refused")
    };
    let too_long = refused(&|request| request.definition = Some(format!("{}{}", "{}", " ".repeat(16 << 20))));
    assert_eq!(too_long.reason, reason::TOO_LARGE);
    assert!(too_long.message.contains("16777216"), "{too_long}");
    let note = refused(&|request| request.note = "x".repeat(1025));
    assert_eq!(note.reason, reason::TOO_LARGE);
    let variables = refused(&|request| {
        let value = format!("\"{}\"", "x".repeat(50_000));
        request.set = [("v".to_owned(), value)].into();
    });
    assert_eq!(variables.reason, reason::TOO_LARGE);
    assert!(variables.message.contains("49152"), "{variables}");
}
