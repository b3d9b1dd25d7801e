//! Workers that die as soon as they start: each place waits longer and longer, whatever asks for workers meanwhile.

use std::time::{Duration, Instant};

use dspex_tests::{Dspex, Home, Project, Running};
use dspex_tests::{free_port, holds_within};
use serde_json::{Value, json};

use crate::subject::interpreter;

const PATIENCE: Duration = Duration::from_secs(60);
/// The longest pause of a place.
const PAUSE_SECONDS: u64 = 5;

/// Nobody gets beyond its import.
const HOPELESS: &str = r#"
with open("crashes.log", "a") as log:
    log.write("x")
os._exit(3)
"#;

/// One at a time lives: the one that makes the file.
const ONE_LIVES: &str = r#"
import dspex

try:
    os.close(os.open("alive", os.O_CREAT | os.O_EXCL))
except FileExistsError:
    with open("crashes.log", "a") as log:
        log.write("x")
    os._exit(3)

@dspex.command
def lives():
    return True
"#;

/// A node whose pool starts without being called, and goes on starting.
struct Node {
    home: Home,
    project: Project,
    running: Running,
    api: u16,
}

impl Node {
    fn start(program: &str, workers: u32) -> Self {
        let (home, project) = (Home::new(), Project::new(program));
        let (api, http) = (free_port(), free_port());
        project.file(
            "dspex.toml",
            format!(
                "data_dir = \"data\"\n[api]\nlisten = \"127.0.0.1:{api}\"\n[http]\nlisten = \"127.0.0.1:{http}\"\n[python]\n\
                 interpreter = \"{}\"\ndirectory = \".\"\n[sandbox]\nmode = \"off\"\n[pools.general]\nworkers = {workers}\neager = true\n\
                 commands = [\"program.py\"]\n",
                interpreter().display(),
            ),
        );
        let node = home.dspex(&["node", "--config"]).arg(project.path("dspex.toml")).limit(Duration::from_secs(300));
        let running = node.start();
        Self { home, project, running, api }
    }

    fn dspex(&self, arguments: &[&str]) -> Dspex {
        self.home.dspex(arguments).env("DSPEX_ADDRESS", format!("127.0.0.1:{}", self.api))
    }

    fn crashes(&self) -> usize {
        std::fs::read(self.project.path("crashes.log")).map_or(0, |log| log.len())
    }

    /// The worker that came up, if one did.
    fn ready(&self) -> Option<String> {
        let listed = self.dspex(&["worker", "-o", "json"]).run();
        let workers = if listed.code == Some(0) { listed.object()["items"].clone() } else { Value::Null };
        let ready = workers.as_array()?.iter().find(|worker| worker["state"] == json!("ready"))?;
        ready["worker"].as_str().map(str::to_owned)
    }

    #[track_caller]
    fn wait_for_crashes(&self, count: usize) {
        let came = || self.crashes() >= count;
        assert!(holds_within(PATIENCE, came), "{} crashes\n{}", self.crashes(), self.running.stderr());
    }
}

#[test]
fn each_place_of_a_pool_that_cannot_start_waits_longer_and_longer_and_calls_do_not_shorten_that() {
    let node = Node::start(HOPELESS, 4);
    node.wait_for_crashes(1);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(6) {
        // It may be told at once that the workers do not start, or wait for a while.
        let told = node.dspex(&["pool", "call", "general", "ping", "--queue-timeout", "0.2"]).run();
        assert!(!matches!(told.code, None | Some(0)), "{}", told.describe());
    }
    // Four at once, four after 0 to 0.4 s, and each of these after 0.8 to 5 s: twelve, and what a slow machine added.
    let round = 4 * (usize::try_from(began.elapsed().as_secs() / PAUSE_SECONDS).expect("few") + 1);
    assert!(node.crashes() <= 8 + round, "{} crashes in {:?}", node.crashes(), began.elapsed());
    let before = node.crashes();
    node.wait_for_crashes(before.max(5) + 1);
}

#[test]
fn restarts_of_a_healthy_worker_do_not_start_the_one_that_crashes_before_its_pause_is_over() {
    let node = Node::start(ONE_LIVES, 2);
    // By now its pause is at its longest.
    node.wait_for_crashes(9);
    let (began, before) = (Instant::now(), node.crashes());
    for _ in 0..6 {
        let name = node.ready().expect("one lives");
        std::fs::remove_file(node.project.path("alive")).expect("it made the file");
        node.dspex(&["worker", "restart", &name]).run().expect(0);
        let replaced = || node.ready().is_some_and(|other| other != name);
        assert!(holds_within(PATIENCE, replaced), "{}", node.running.stderr());
    }
    let pauses = usize::try_from(began.elapsed().as_secs() / PAUSE_SECONDS).expect("few");
    let crashes = node.crashes() - before;
    assert!(crashes <= pauses + 1, "{crashes} more crashes in {:?}", began.elapsed());
}
