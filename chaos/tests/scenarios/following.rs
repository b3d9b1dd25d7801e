//! `dspex run watch` through a node that is cut off: it goes on through another one and shows what a watch shows that met no fault,
//! each line once.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dspex_api::Address;
use dspex_chaos::cluster::{Cluster, Layout, Need};
use dspex_chaos::fault::network::Network;
use tempfile::TempDir;

use crate::places::program;
use crate::skip::is_available;

/// No two executions print the same.
const PROGRAM: &str = r#"import time
import uuid

import dspy


class Program(dspy.Module):
    def forward(self, n):
        print(f"<{n} {uuid.uuid4().hex}>", flush=True)
        time.sleep(0.25)
        return dspy.Prediction(double=2 * int(n))


def metric(example, prediction):
    return prediction.double % 3 == 0


program = Program()
"#;

/// Fewer than the lines that an owner keeps.
const EXAMPLES: usize = 600;
/// Lines before the cut, and such as must come through it: more than a node that is cut off can have in hand.
const BEFORE: usize = 20;
const THROUGH: usize = 100;
const PATIENCE: Duration = Duration::from_secs(120);
const TICK: Duration = Duration::from_millis(50);

/// A watch that is killed with its test.
struct Watching {
    child: Child,
    said: PathBuf,
}

impl Watching {
    fn start(cluster: &Cluster, position: usize, files: &Path, run: &str) -> Self {
        let said = files.join(format!("watch-{position}"));
        let mut command = dspex(cluster, position, files);
        command.args(["run", "watch", run, "-o", "json"]).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(File::create(&said).expect("a file")).spawn().expect("started");
        Self { child, said }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.said).expect("readable")
    }

    /// The lines of examples, and how often each came.
    fn lines(&self) -> BTreeMap<String, usize> {
        let mut lines = BTreeMap::new();
        for line in self.said().lines().filter(|line| line.starts_with('<') && line.ends_with('>')) {
            *lines.entry(line.to_owned()).or_default() += 1;
        }
        lines
    }

    /// Waits for its good end.
    fn finish(&mut self) {
        let code = until("the watch ends", || self.child.try_wait().expect("a child of this process"));
        assert!(code.success(), "{code}\n{}", self.said());
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "waited {} s in vain until {what}", PATIENCE.as_secs());
        std::thread::sleep(TICK);
    }
}

/// A command for a node, by a user for whom every node of this machine has left its token.
fn dspex(cluster: &Cluster, position: usize, files: &Path) -> Command {
    let door = &cluster.target().doors()[position];
    let Address::Tcp(address) = &door.address else { panic!("{} does not listen on TCP", door.name) };
    let of = &cluster.layout().program;
    let mut command = Command::new(&of.path);
    command.env_clear().current_dir(files.join("project"));
    for name in ["PATH", "HOME", "USER", "LANG", "TMPDIR"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command.env("DSPEX_ADDRESS", address).env("DSPEX_TOKEN_FILE", &door.token_file);
    command.envs(door.ca.as_ref().map(|ca| ("DSPEX_CA", ca)));
    command.env("DSPEX_HOME", cluster.scratch().with_file_name("home")).env("DSPEX_PYTHON", &of.interpreter);
    command.env("DSPY_CACHEDIR", files.join("cache"));
    command
}

/// A run on all three nodes that goes on without its caller; its id.
fn submit(cluster: &Cluster, owner: usize, files: &Path) -> String {
    let (project, cache) = (files.join("project"), files.join("cache"));
    for directory in [&project, &cache] {
        fs::create_dir(directory).expect("a directory");
    }
    fs::write(project.join("program.py"), PROGRAM).expect("written");
    let rows: String = (0..EXAMPLES).map(|n| format!("{{\"n\": {n}}}\n")).collect();
    fs::write(project.join("data.jsonl"), rows).expect("written");
    let has_lines = |node: &dspex_chaos::cluster::Node| node.log().matches("a line for orders to a peer").count() >= 2;
    until("all nodes take part", || cluster.nodes().iter().all(has_lines).then_some(()));
    let what = ["eval", "program.py:program", "--devset", "data.jsonl", "--metric", "program.py:metric"];
    let how = ["--inputs", "n", "--num-threads", "6", "--workers", "6", "--detach", "-o", "json"];
    let output = dspex(cluster, owner, files).args(what).args(how).output().expect("started");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let object: Option<serde_json::Value> = serde_json::from_str(&said).ok();
    let id = object.and_then(|object| object["run_id"].as_str().map(str::to_owned));
    id.unwrap_or_else(|| panic!("{}: {said}{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// Follows a run through a node that is cut off meanwhile, and beside it through its owner, which is not.
fn follow_through(what: &str, cut: impl FnOnce(&mut Network, u32)) {
    if !is_available(what, Need::Networks.probe()) {
        return;
    }
    let mut cluster = Cluster::start(Layout::plain(program(), 3).with(&[Need::Networks])).expect("a cluster");
    let files: TempDir = tempfile::tempdir().expect("a directory");
    // The leader owns the run: nothing of it moves when another node is cut off.
    let owner = cluster.leader_within(PATIENCE).expect("a leader");
    let cut_off = (owner + 1) % 3;
    let run = submit(&cluster, owner, files.path());
    let mut undisturbed = Watching::start(&cluster, owner, files.path(), &run);
    let mut tried = Watching::start(&cluster, cut_off, files.path(), &run);
    until("lines come", || (tried.lines().len() >= BEFORE).then_some(()));

    let host = u32::try_from(cut_off).expect("one of three") + 1;
    cut(cluster.network().expect("hosts of their own"), host);
    let before = tried.lines().len();
    until("lines come all the same", || (tried.lines().len() >= before + THROUGH).then_some(()));
    let log = cluster.nodes()[cut_off].log();
    assert!(log.contains("lost the connection to a peer"), "the cut did not land: {}", cluster.last_words());

    // It stays cut off: one that comes back asks for an election, and the owner may change by it.
    undisturbed.finish();
    tried.finish();
    for watching in [&undisturbed, &tried] {
        let said = watching.said();
        assert!(!said.contains("another owner goes on"), "the run moved: this was to be another test\n{said}");
        assert!(!said.contains("lines of output were left out"), "{said}");
    }
    let (all, seen) = (undisturbed.lines(), tried.lines());
    let doubles: Vec<&String> = seen.iter().filter(|(_, times)| **times > 1).map(|(line, _)| line).collect();
    assert!(doubles.is_empty(), "shown more than once: {doubles:?}");
    let gaps: Vec<&String> = all.keys().filter(|line| !seen.contains_key(*line)).collect();
    assert!(gaps.is_empty(), "not shown: {gaps:?}\n{}", tried.said());
    assert_eq!(all, seen, "both show the same");
    assert!(all.len() >= EXAMPLES, "{} lines of {EXAMPLES} examples", all.len());
}

/// The caller reaches it all the same, and hears from it that it hears of no leader.
#[test]
fn a_watch_whose_node_is_cut_off_from_the_others_shows_every_line_once() {
    follow_through("a watch through a partition", |network, host| {
        let others: Vec<u32> = (1..=3).filter(|other| *other != host).collect();
        network.partition(&[&[host][..], &others]).expect("cut");
    });
}

/// It neither answers nor hangs up.
#[test]
fn a_watch_whose_node_nobody_reaches_any_more_shows_every_line_once() {
    follow_through("a watch of a host that is cut off", |network, host| {
        network.cut_host(host).expect("cut");
    });
}
