//! `[sandbox]`: what is written out is seen, what does not fit is refused, and a directory that holds the node's data is split.

use dspex_tests::{Dspex, Home, Project, free_port, places};
use serde_json::{Value, json};

use crate::subject::{Node, OFF, ON};

#[test]
fn a_sandbox_that_is_off_was_written_out_and_is_seen_everywhere() {
    let node = Node::start(OFF);
    assert!(node.running.stderr().contains("not sandboxed"), "{}", node.running.stderr());
    let shown = node.dspex(&["cluster", "status", "-o", "json"]).run().expect(0);
    assert_eq!(shown.object()["members"][0]["sandbox"], json!("off"));
    let table = node.dspex(&["cluster", "status"]).run().expect(0);
    table.says("not sandboxed").says("sandbox.mode");
    assert!(table.stdout.lines().any(|line| line.split_whitespace().any(|word| word == "off")), "{}", table.describe());
    let report = doctor(&node).expect(0).object();
    assert!(states(&report).contains(&"warning".to_owned()), "{report}");

    let node = Node::start(ON);
    let shown = node.dspex(&["cluster", "status", "-o", "json"]).run().expect(0);
    assert_eq!(shown.object()["members"][0]["sandbox"], json!("on"));
    shown.does_not_say("not sandboxed");
    let report = doctor(&node).expect(0).object();
    assert!(states(&report).iter().all(|state| state != "failure") && states(&report)[0] == "ok", "{report}");
}

fn doctor(node: &Node) -> dspex_tests::Output {
    node.home.dspex(&["doctor", "-o", "json", "--config"]).arg(node.project.path("node/dspex.toml")).run()
}

fn states(report: &Value) -> Vec<String> {
    let items = report["items"].as_array().expect("items");
    let own = items.iter().filter(|item| item["check"] == "sandbox");
    own.map(|item| item["state"].as_str().expect("a state").to_owned()).collect()
}

#[test]
fn what_does_not_fit_is_refused_before_the_start() {
    let (home, project) = (Home::new(), Project::empty());
    project.file("data/token", "").file("models/m", "");
    let python = format!("[python]\ninterpreter = \"{}\"\n", places::interpreter().display());
    let validate = |settings: &str| -> Dspex {
        project.file("dspex.toml", format!("{python}{settings}"));
        home.dspex(&["config", "validate", "dspex.toml"]).directory(project.directory())
    };
    validate("[sandbox]\nreadable = [\"models\"]\nwritable = [\"models\"]\n").run().expect(0);
    for (settings, phrases) in [
        ("[sandbox]\nmode = \"maybe\"\n", ["sandbox.mode", "one of \"on\", \"off\""]),
        ("[sandbox]\nnetwork = \"some\"\n", ["sandbox.network", "one of \"all\", \"none\""]),
        ("[sandbox]\nreadable = [\"nowhere\"]\n", ["sandbox.readable", "No such file"]),
        ("[sandbox]\nreadable = [\"data\"]\n", ["sandbox.readable", "no program may read"]),
        ("[sandbox]\nreadable = [\"data/token\"]\n", ["sandbox.readable", "no program may read"]),
        ("[sandbox]\nwritable = [\".\"]\n", ["sandbox.writable", "a program could change"]),
        ("[sandbox]\nopen_files = 10\n", ["sandbox.open_files", "between 256"]),
        ("[sandbox]\ndisk = \"lots\"\n", ["sandbox.disk", "512MiB"]),
        ("directory = \"data\"\n", ["python.directory", "no program may read"]),
        ("directory = \"/\"\n", ["python.directory", "whole machine"]),
    ] {
        let told = validate(settings).run().expect(2);
        for phrase in phrases {
            told.says(phrase);
        }
    }
    // Where nothing is kept to anything, nothing of it matters.
    validate("directory = \"data\"\n[sandbox]\nmode = \"off\"\n").run().expect(0);
}

#[test]
fn a_program_beside_the_nodes_data_is_read_and_the_data_is_not() {
    let (home, project) = (Home::new(), Project::empty());
    let (api, http) = (free_port(), free_port());
    project.file("attempts.py", include_str!("attempts.py")).file("lib/part.py", "x = 1\n");
    project.file(
        "dspex.toml",
        format!(
            "data_dir = \"data\"\n[api]\nlisten = \"127.0.0.1:{api}\"\n[http]\nlisten = \"127.0.0.1:{http}\"\n[python]\n\
             interpreter = \"{}\"\ndirectory = \".\"\n[pools.general]\nworkers = 1\ncommands = [\"attempts.py\"]\n",
            places::interpreter().display()
        ),
    );
    let node =
        home.dspex(&["node", "--config"]).arg(project.path("dspex.toml")).limit(std::time::Duration::from_secs(300));
    let running = node.start();
    let call = |command: &str, path: &str| {
        let arguments = json!({"path": path}).to_string();
        home.dspex(&["pool", "call", "general", command, &arguments, "-o", "json"])
            .env("DSPEX_ADDRESS", format!("127.0.0.1:{api}"))
            .run()
    };
    let is_up = || call("read", "lib/part.py").code == Some(0);
    assert!(dspex_tests::holds_within(std::time::Duration::from_secs(60), is_up), "{}", running.stderr());
    for hidden in ["data/token", "dspex.toml"] {
        call("read", hidden).expect(1).says("does not let programs read");
    }
    call("write", "mine").expect(1).says("PermissionError");
    let report = home.dspex(&["doctor", "-o", "json", "--config"]).arg(project.path("dspex.toml")).run().object();
    assert_eq!(states(&report), ["ok", "warning"], "{report}");
}

#[test]
fn without_a_network_programs_reach_nothing() {
    let node = Node::start("[sandbox]\nnetwork = \"none\"\n[pools.general]\n");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let told = node.call("general", "connect", &json!({"host": "127.0.0.1", "port": port}));
    told.expect(1).says("network = \"none\"");
    assert_eq!(node.answer("general", "talk_to_itself", &json!({})), json!("hello"), "a socket of its own");
    node.is_well();
}
