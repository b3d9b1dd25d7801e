//! Workers of one node beside each other: none reads what another keeps, and none leaves anything behind.

use std::path::Path;
use std::time::Duration;

use dspex_tests::{holds_within, process, skip};
use serde_json::{Value, json};

use crate::subject::{Node, OFF, ON};

const PATIENCE: Duration = Duration::from_secs(30);

fn pid(answer: &Value) -> u32 {
    answer.as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a process")
}

fn worker(node: &Node, pool: &str) -> String {
    let stats = node.dspex(&["worker", "-o", "json"]).run().expect(0).object();
    let items = stats["items"].as_array().expect("items");
    let own = items.iter().find(|worker| worker["pool"] == pool && worker["state"] != "starting");
    own.and_then(|worker| worker["worker"].as_str()).unwrap_or_else(|| panic!("{stats}")).to_owned()
}

#[test]
fn what_one_worker_keeps_another_does_not_read() {
    let node = Node::start(ON);
    let kept = node.answer("optimizer", "keep", &json!({"text": "of one session"}));
    let told = node.call("general", "read", &json!({"path": kept}));
    told.expect(1).says("PermissionError").says("does not let programs read");
    // Its own worker does.
    assert!(node.answer("optimizer", "read", &json!({"path": kept})).as_u64() > Some(0));

    let node = Node::start(OFF);
    let kept = node.answer("optimizer", "keep", &json!({"text": "of one session"}));
    assert!(node.answer("general", "read", &json!({"path": kept})).as_u64() > Some(0), "the attempt proves nothing");
}

/// What a session's worker tries at another's. `kept` is what that one has told of itself.
fn at_another_session(kept: &Value) -> Vec<(&'static str, Value)> {
    let (pid, home) = (kept["pid"].as_u64().expect("a process"), kept["home"].as_str().expect("a path"));
    let of_worker = |file: &str| json!({"path": format!("/proc/{pid}/{file}")});
    vec![
        ("read", json!({"path": kept["file"]})),
        ("write", json!({"path": kept["file"]})),
        ("remove", json!({"path": kept["file"]})),
        ("list_directory", json!({"path": home})),
        ("list_directory", of_worker("fd")),
        ("read", of_worker("environ")),
        ("read", of_worker("maps")),
        ("call_into", json!({"pid": pid})),
        ("signal_process", json!({"pid": pid})),
    ]
}

#[test]
fn a_sessions_worker_reads_nothing_of_another_session() {
    for (settings, is_sandboxed) in [(ON, true), (OFF, false)] {
        let node = Node::start(settings);
        let execute = |session: &str, command: &str, arguments: &Value| {
            node.dspex(&["session", "execute", session, command, &arguments.to_string(), "-o", "json"]).run()
        };
        for session in ["mine", "other"] {
            node.dspex(&["session", "create", session]).run().expect(0);
        }
        let kept = execute("other", "remember", &json!({"text": "of the other"})).expect(0).object();
        for (command, arguments) in at_another_session(&kept) {
            let is_file = kept["file"] == arguments["path"] || kept["home"] == arguments["path"];
            if !is_sandboxed && !is_file && !rustix::process::geteuid().is_root() {
                skip(
                    "a_sessions_worker_reads_nothing_of_another_session",
                    &format!("{command} {arguments} takes root"),
                );
                continue;
            }
            let told = execute("mine", command, &arguments).expect(i32::from(is_sandboxed));
            if is_sandboxed {
                told.says("PermissionError");
            }
        }
        // Data come with the call, and only those of the session that was named.
        assert_eq!(execute("mine", "data", &json!({})).expect(0).object(), json!({}));
        assert_eq!(execute("other", "data", &json!({})).expect(0).object(), json!({"kept": "of the other"}));
        node.is_well();
    }
}

#[test]
fn a_workers_directory_is_gone_with_it_and_what_a_killed_node_left_with_the_next() {
    let mut node = Node::start(ON);
    let home = |node: &Node| node.answer("general", "where", &json!({}))["home"].as_str().expect("a path").to_owned();
    let first = home(&node);
    assert!(first.starts_with(&node.path("node/data/workers")), "{first}");
    node.dspex(&["worker", "restart", &worker(&node, "general")]).run().expect(0);
    assert!(holds_within(PATIENCE, || !Path::new(&first).exists()), "{first} is left");
    let second = home(&node);
    assert_ne!(first, second);

    process::kill(node.running.pid());
    assert!(process::ends_within(node.running.pid(), PATIENCE));
    assert!(Path::new(&second).exists(), "nobody could remove it");
    let config = node.project.path("node/dspex.toml");
    node.running = node.home.dspex(&["node", "--config"]).arg(config).limit(Duration::from_secs(300)).start();
    assert!(holds_within(PATIENCE, || !Path::new(&second).exists()), "{second} is left");
}

#[test]
fn what_a_worker_started_does_not_outlive_it_whatever_it_hides() {
    let outlives = |settings: &str| {
        let node = Node::start(settings);
        let child = pid(&node.answer("general", "outlive", &json!({})));
        assert!(process::runs(child));
        node.dspex(&["worker", "restart", &worker(&node, "general")]).run().expect(0);
        node.answer("general", "ping", &json!(1));
        let outlives = !process::ends_within(child, Duration::from_secs(10));
        process::kill(child);
        outlives
    };
    assert!(!outlives(ON));
    assert!(outlives(OFF), "the attempt proves nothing");
}
