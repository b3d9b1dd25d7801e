//! `dspex node`: TCP on loopback behind a token, an environment of its own, HTTP for probes and Prometheus.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use dspex_tests::Home;
use dspex_tests::Project;
use dspex_tests::{Dspex, Running};
use dspex_tests::{free_port, holds_within};
use serde_json::json;

use crate::subject::interpreter;

const PROGRAM: &str = r#"
def own():
    return os.environ.get("OWN"), os.getcwd()

class Program(dspy.Module):
    def forward(self, n):
        return dspy.Prediction(own=os.environ.get("OWN"), caller=os.environ.get("CALLER"), stored=os.environ.get("STORED"))

program = Program()

def metric(example, prediction):
    return (prediction.own, prediction.caller, prediction.stored) == ("from the node", None, "with the run")
"#;

struct Node {
    home: Home,
    project: Project,
    running: Running,
    api: u16,
    http: u16,
}

impl Node {
    fn start() -> Self {
        let (home, project) = (Home::new(), Project::new(PROGRAM));
        let (api, http) = (free_port(), free_port());
        project.file(
            "dspex.toml",
            format!(
                "data_dir = \"data\"\n[api]\nlisten = \"127.0.0.1:{api}\"\n[http]\nlisten = \"127.0.0.1:{http}\"\n[python]\n\
                 interpreter = \"{}\"\ndirectory = \".\"\nenvironment = [\"OWN\"]\n[pools.general]\nworkers = 2\neager = true\n",
                interpreter().display(),
            ),
        );
        let config = project.path("dspex.toml");
        let running = home
            .dspex(&["node", "--config"])
            .arg(&config)
            .env("OWN", "from the node")
            .env("OTHER", "kept back")
            .limit(Duration::from_secs(300))
            .start();
        let node = Self { home, project, running, api, http };
        // Its port takes connections before its token lies where commands look for it: the probe is what to wait for.
        assert!(holds_within(Duration::from_secs(30), || node.is_ready()), "{}", node.running.stderr());
        node
    }

    fn dspex(&self, arguments: &[&str]) -> Dspex {
        self.home.dspex(arguments).env("DSPEX_ADDRESS", format!("127.0.0.1:{}", self.api))
    }

    fn is_ready(&self) -> bool {
        self.try_get("/healthz/ready", &[("Host", "127.0.0.1")]).is_ok_and(|(code, _)| code == 200)
    }

    fn get(&self, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        self.try_get(path, headers).expect("it answers")
    }

    fn try_get(&self, path: &str, headers: &[(&str, &str)]) -> std::io::Result<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http))?;
        let mut request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{request}\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let code = answer.split_whitespace().nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
        Ok((code, answer))
    }

    fn token(&self) -> String {
        std::fs::read_to_string(self.project.path("data/token")).expect("a token").trim().to_owned()
    }
}

#[test]
fn commands_of_the_same_user_find_the_token_and_others_are_refused() {
    let node = Node::start();
    let answer = node.dspex(&["pool", "call", "general", "ping", "1", "-o", "json"]).run().expect(0).object();
    assert_eq!(answer["payload"], json!(1));
    let mode = std::fs::metadata(node.project.path("data/token")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let stranger = Home::new();
    let address = format!("127.0.0.1:{}", node.api);
    let refused = stranger.dspex(&["pool", "stats", "--address", &address]).run().expect(4);
    refused.says("UNAUTHENTICATED").says("--token-file");
    let token = node.project.path("data/token");
    let with = stranger.dspex(&["pool", "stats", "--address", &address, "--token-file"]).arg(&token);
    with.run().expect(0);
    node.project.file("wrong", "0000");
    let wrong =
        stranger.dspex(&["pool", "stats", "--address", &address, "--token-file"]).arg(node.project.path("wrong"));
    wrong.run().expect(4).says("the token is not known here");
    let missing = stranger.dspex(&["pool", "stats", "--address", &address, "--token-file", "/nonexistent"]).run();
    missing.expect(4).says("/nonexistent");
    stranger.dspex(&["pool", "stats", "--address", "localhost"]).run().expect(2).says("HOST:PORT");
}

#[test]
fn a_nodes_own_token_is_rotated_without_a_restart() {
    let node = Node::start();
    let (old, file) = (node.token(), node.project.path("data/token"));
    node.project.file("old", &old).file("data/token.new", "f".repeat(64));
    std::fs::rename(node.project.path("data/token.new"), &file).expect("renamed");
    let stats = || node.dspex(&["pool", "stats"]);
    let is_refused = || stats().env("DSPEX_TOKEN_FILE", node.project.path("old")).run().code == Some(4);
    assert!(holds_within(Duration::from_secs(15), is_refused));
    stats().env("DSPEX_TOKEN_FILE", &file).run().expect(0);
    // Commands of the same user find the new one by themselves.
    stats().run().expect(0);
}

#[test]
fn its_workers_have_the_nodes_environment_whoever_calls() {
    let node = Node::start();
    let called = node.dspex(&["pool", "call", "general", "program.py:own", "-o", "json"]).env("OWN", "from the caller");
    let answer = called.run().expect(0).object();
    let directory = node.project.directory().canonicalize().expect("a directory");
    assert_eq!(answer, json!(["from the node", directory]));
    // So the caller's machine needs no Python.
    let bare = node.dspex(&["pool", "call", "general", "ping", "1"]).env("DSPEX_PYTHON", "/nonexistent");
    bare.run().expect(0);
    let named = node.dspex(&["pool", "call", "general", "ping", "1", "--python", "/nonexistent"]).run().expect(0);
    named.says("--python plays no part");
}

#[test]
fn probes_need_no_token_metrics_do_and_other_sites_are_refused() {
    let node = Node::start();
    let host = ("Host", "127.0.0.1");
    for probe in ["startup", "live", "ready"] {
        assert_eq!(node.get(&format!("/healthz/{probe}"), &[host]).0, 200, "{probe}");
    }
    assert_eq!(node.get("/metrics", &[host]).0, 401);
    let bearer = format!("Bearer {}", node.token());
    node.dspex(&["pool", "call", "general", "ping"]).run().expect(0);
    let (code, metrics) = node.get("/metrics", &[host, ("Authorization", &bearer)]);
    assert_eq!(code, 200, "{metrics}");
    for wanted in [
        "dspex_pool_requests_total{pool=\"general\",outcome=\"ok\"} 1",
        "dspex_python_call_count_total{function=\"ping\"} 1",
        "dspex_pool_request_duration_seconds_count{pool=\"general\"} 1",
        "dspex_worker_starts_total",
    ] {
        assert!(metrics.contains(wanted), "{wanted} is missing:\n{metrics}");
    }
    assert_eq!(node.get("/metrics", &[("Host", "evil.example"), ("Authorization", &bearer)]).0, 403);
    let foreign = [host, ("Origin", "https://evil.example"), ("Authorization", &bearer)];
    assert_eq!(node.get("/healthz/live", &foreign).0, 403);
    assert_eq!(node.get("/nowhere", &[host, ("Authorization", &bearer)]).0, 404);
}

#[test]
fn what_answers_and_is_no_node_is_told_from_one_that_is_gone() {
    let node = Node::start();
    let ask = |port: u16| {
        let address = format!("127.0.0.1:{port}");
        node.home.dspex(&["session", "list", "--address", &address]).run().expect(6)
    };
    ask(node.http).says("is not a DSPex node").says("no gRPC").says("api.listen (7400)");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    // It is asked twice: by the command, and to see what it is. The thread ends with the test.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a caller");
            std::thread::spawn(move || {
                let _ = stream.read_exact(&mut [0; 24]);
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
                let _ = stream.read_to_end(&mut Vec::new());
            });
        }
    });
    ask(port).says("is not a DSPex node").says("it speaks HTTP/1").says("api.listen (7400)");
    ask(free_port()).says("no node answers");
}

#[test]
fn it_ends_in_order_when_it_is_told_to() {
    let mut node = Node::start();
    node.dspex(&["pool", "call", "general", "ping"]).run().expect(0);
    dspex_tests::process::terminate(node.running.pid());
    assert!(holds_within(Duration::from_secs(15), || !node.running.runs()), "{}", node.running.stderr());
    assert!(node.home.python_processes().is_empty());
    node.dspex(&["pool", "stats"]).run().expect(6).says("no node answers");
}

#[test]
fn alone_it_is_stopped_and_not_drained_and_there_is_nothing_to_undo() {
    let node = Node::start();
    let listed = node.dspex(&["member", "list", "-o", "json"]).run().expect(0).object();
    let id = listed["items"][0]["id"].to_string();
    let refused = node.dspex(&["member", "drain", &id]).run().expect(1);
    refused.says("is the only voter").says("SIGTERM").does_not_say("--undo");
    node.dspex(&["member", "drain", &id, "--undo"]).run().expect(0).says("does not drain: it takes work");
}

#[test]
fn what_is_wrong_with_its_settings_is_said_at_the_start() {
    let (home, project) = (Home::new(), Project::empty());
    let start = |settings: &str| {
        project.file("dspex.toml", settings);
        home.dspex(&["node", "--config"]).arg(project.path("dspex.toml")).run()
    };
    let open = start("[api]\nlisten = \"0.0.0.0:7400\"\n").expect(2);
    open.says("api.listen").says("TLS").says("dspex cert init").says("api.certificate");
    start("[http]\nlisten = \"0.0.0.0:7480\"\n").expect(2).says("http.listen").says("api.certificate");
    start("[api]\nkey = \"node.key\"\n").expect(2).says("belong together");
    start("[api]\ncertificate = \"node.pem\"\nkey = \"node.key\"\n").expect(2).says("node.pem");
    start("[api]\nlistn = \"\"\n").expect(2).says("listn");
    start("data_dir = 3\n").expect(2).says("data_dir");
    start("[python]\ninterpreter = \"/nonexistent\"\n").expect(2).says("python.interpreter").says("/nonexistent");
    start("").expect(2).says("python.interpreter is not set");
    let python = format!("[python]\ninterpreter = \"{}\"\n", interpreter().display());
    start(&format!("{python}directory = \"nowhere\"\n")).expect(2).says("python.directory").says("/nowhere");
    for key in ["python", "directory"] {
        let wrong = start(&format!("{python}[pools.inference]\n{key} = \"/nonexistent\"\n")).expect(2);
        wrong.says(&format!("pools.inference.{key} = \"/nonexistent\"")).says("No such file");
    }
    home.dspex(&["node", "--config", "/nonexistent.toml"]).run().expect(2).says("/nonexistent.toml");
    home.dspex(&["node"]).run().expect(2).says("--config");
}

#[test]
fn two_nodes_do_not_share_a_directory() {
    let node = Node::start();
    let config = std::fs::read_to_string(node.project.path("dspex.toml")).expect("a file");
    let elsewhere = config
        .replace(&format!("127.0.0.1:{}", node.api), &format!("127.0.0.1:{}", free_port()))
        .replace(&format!("127.0.0.1:{}", node.http), &format!("127.0.0.1:{}", free_port()));
    node.project.file("second.toml", elsewhere);
    let second = node.home.dspex(&["node", "--config"]).arg(node.project.path("second.toml")).run();
    second.expect(6).says("data");
    node.dspex(&["pool", "call", "general", "ping", "1"]).run().expect(0);
}

#[test]
fn a_second_node_on_a_taken_port_leaves_the_first_as_it_is() {
    let node = Node::start();
    let config = std::fs::read_to_string(node.project.path("dspex.toml")).expect("a file");
    node.project.file("second.toml", config.replace("data_dir = \"data\"", "data_dir = \"second\""));
    let second = node.home.dspex(&["node", "--config"]).arg(node.project.path("second.toml")).run();
    second.expect(6).says("a port that is free");
    node.dspex(&["pool", "call", "general", "ping", "1"]).run().expect(0);
}

#[test]
fn a_run_has_the_nodes_environment_and_what_it_names_and_not_its_callers() {
    let node = Node::start();
    node.project.numbers(3);
    let eval = |variable: &str| {
        node.dspex(&[
            "eval",
            "program.py:program",
            "--devset",
            "data.jsonl",
            "--metric",
            "program.py:metric",
            "-o",
            "json",
        ])
        .args(["--env", "STORED=with the run", "--env", variable])
        .env("OWN", "from the caller")
        .env("CALLER", "of the caller's own")
        .directory(node.project.directory())
        .run()
    };
    assert_eq!(eval("OWN").expect(0).object()["score"], json!(100.0));
    eval("CALLER").expect(2).says("--env CALLER").says("python.environment");
}
