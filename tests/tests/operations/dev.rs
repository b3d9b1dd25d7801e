//! `dspex dev`: a cluster in the foreground that leaves nothing behind.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dspex_tests::{Dspex, Home, Project, Running, holds_within, process, wait_until};
use serde_json::{Value, json};

/// So slow that the voter alone is not done before the others have what they need.
const PROGRAM: &str = r"
class Program(dspy.Module):
    def forward(self, n):
        time.sleep(0.1)
        return dspy.Prediction(double=2 * int(n))

program = Program()

def metric(example, prediction):
    return prediction.double % 3 == 0
";
const EXAMPLES: u32 = 400;
/// For three nodes on a machine that does something else as well.
const PATIENCE: Duration = Duration::from_secs(120);
const END_LIMIT: Duration = Duration::from_secs(60);

/// A cluster that is ready.
struct Dev {
    home: Home,
    running: Running,
    /// What it printed.
    said: Value,
}

impl Dev {
    #[track_caller]
    fn start(home: Home, arguments: &[&str]) -> Self {
        let started = home
            .dspex(&["dev", "-o", "json"])
            .args(arguments)
            // The caller's settings are not those of every node.
            .env("DSPEX_API__LISTEN", "127.0.0.1:1")
            // What an earlier one printed, and what has gone with it.
            .env("DSPEX_ADDRESS", "127.0.0.1:1")
            .env("DSPEX_TOKEN_FILE", "/nonexistent/token")
            .limit(Duration::from_secs(600));
        let mut running = started.start();
        let said = wait_until("the cluster is ready", PATIENCE, || {
            assert!(running.runs(), "it ended:\n{}", running.stderr());
            serde_json::from_str(&running.stdout()).ok()
        });
        Self { home, running, said }
    }

    fn directory(&self) -> PathBuf {
        PathBuf::from(self.said["directory"].as_str().expect("a directory"))
    }

    fn nodes(&self) -> &[Value] {
        self.said["nodes"].as_array().expect("nodes")
    }

    /// A command with the variables that were printed.
    fn dspex(&self, arguments: &[&str]) -> Dspex {
        let environment = self.said["environment"].as_object().expect("variables");
        environment
            .iter()
            .fold(self.home.dspex(arguments), |dspex, (name, value)| dspex.env(name, value.as_str().expect("text")))
    }

    /// A command to one of the nodes, with that node's own token.
    fn asked(&self, node: &Value, arguments: &[&str]) -> Dspex {
        let of = |key: &str| node[key].as_str().expect("text").to_owned();
        self.dspex(arguments).args(["--address", &of("api_address"), "--token-file", &of("token_file")])
    }

    fn status(&self) -> Value {
        self.dspex(&["cluster", "status", "-o", "json"]).run().expect(0).object()
    }

    /// How many members answer, as the first node sees it.
    fn answering(&self) -> usize {
        let status = self.status();
        status["members"].as_array().expect("members").iter().filter(|member| member["reachable"] == true).count()
    }
}

fn pid(node: &Value) -> u32 {
    node["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a process")
}

/// Every process of the cluster: nodes, and the Python that they started.
fn expect_gone(processes: &[u32], directory: &Path) {
    for pid in processes {
        assert!(process::ends_within(*pid, END_LIMIT), "{} outlived dspex dev", process::command_line(*pid));
    }
    let left = process::started_with(directory);
    assert!(left.is_empty(), "{left:?} were started meanwhile");
}

#[test]
fn three_nodes_answer_until_ctrl_c_which_leaves_nothing_behind() {
    let dev = Dev::start(Home::new(), &[]);
    let directory = dev.directory();
    assert_eq!((dev.nodes().len(), &dev.said["kept"]), (3, &json!(false)));
    assert_eq!(dev.status()["members"].as_array().map(Vec::len), Some(3));
    assert_eq!(dev.answering(), 3);
    // Each node answers by its own token.
    for node in dev.nodes() {
        dev.asked(node, &["cluster", "health"]).run().expect(0);
        // And by the one that was printed, so that a program goes on there when the first is lost.
        let address = node["api_address"].as_str().expect("text");
        dev.dspex(&["cluster", "health", "--address", address]).run().expect(0);
    }
    // What is about this machine's own node leaves them alone.
    dev.dspex(&["local", "stop"]).run().expect(0).says("no node runs");
    assert_eq!(dev.answering(), 3);
    // Workers start where the command was started.
    let called = dev.dspex(&["pool", "call", "general", "os:getcwd", "-o", "json"]).run().expect(0).object();
    let started_in = std::fs::read_link(format!("/proc/{}/cwd", dev.running.pid())).expect("a directory");
    assert_eq!(called, json!(started_in));
    let processes = process::started_with(&directory);
    assert!(processes.len() > 3, "nodes and Python: {processes:?}");

    dev.running.interrupt();
    let ended = dev.running.finish().expect(0);
    for name in ["node-1 | ", "node-2 | ", "node-3 | "] {
        ended.says(name);
    }
    expect_gone(&processes, &directory);
    assert!(!directory.exists(), "{} is left", directory.display());
    assert!(!dev.home.path().exists(), "the user's own home is nobody's business");
}

#[test]
fn nodes_without_a_vote_execute_and_end_with_the_others() {
    let project = Project::new(PROGRAM);
    project.numbers(EXAMPLES);
    let dev = Dev::start(Home::new(), &["--nodes", "1", "--worker-nodes", "2"]);
    let directory = dev.directory();
    let listed = dev.dspex(&["member", "list", "-o", "json"]).run().expect(0).object();
    let members = listed["items"].as_array().expect("items");
    let of_role =
        |role: &str| members.iter().filter(|member| member["role"] == role && member["reachable"] == true).count();
    assert_eq!((members.len(), of_role("voter"), of_role("worker")), (3, 1, 2), "{listed}");
    let roles: Vec<&Value> = dev.nodes().iter().map(|node| &node["role"]).collect();
    assert_eq!(roles, ["voter", "worker", "worker"], "{}", dev.said);
    let (_, workers) = dev.nodes().split_first().expect("nodes");
    for node in workers {
        let name = node["name"].as_str().expect("a name");
        // Orders reach it a moment after the cluster knows it.
        let is_told = |line: &str| line.starts_with(name) && line.contains("a line for orders to a peer");
        let has_line = || dev.running.stderr().lines().any(is_told);
        assert!(holds_within(PATIENCE, has_line), "{}", dev.running.stderr());
    }

    let eval =
        ["eval", "program.py:program", "--devset", "data.jsonl", "--metric", "program.py:metric", "--inputs", "n"];
    let eval = dev.dspex(&eval).args(["--num-threads", "6", "--distributed", "--detach", "-o", "json"]);
    let begun = eval.directory(project.directory()).run().expect(0).object();
    let run = begun["run_id"].as_str().expect("an id");
    for node in workers {
        let has_worker = || dev.asked(node, &["worker", "list", "-o", "json"]).run().expect(0).stdout.contains(run);
        assert!(holds_within(PATIENCE, has_worker), "{node} has no worker of the run\n{}", dev.running.stderr());
    }
    let shown = wait_until("the run has ended", PATIENCE, || {
        let shown = dev.dspex(&["run", "show", run, "-o", "json"]).run().expect(0).object();
        (shown["status"] != "running").then_some(shown)
    });
    assert_eq!((&shown["status"], &shown["done"]), (&json!("finished"), &json!(EXAMPLES)), "{shown}");

    let processes = process::started_with(&directory);
    assert!(processes.len() >= 3, "three nodes at least: {processes:?}");
    dev.running.interrupt();
    let ended = dev.running.finish().expect(0);
    for name in ["\nnode-1 | ", "worker-node-1 | ", "worker-node-2 | "] {
        ended.says(name);
    }
    ended.does_not_say("it is killed");
    expect_gone(&processes, &directory);
    assert!(!directory.exists(), "{} is left", directory.display());
}

#[test]
fn a_kept_cluster_goes_on_where_it_was() {
    let root = tempfile::tempdir().expect("a directory");
    let data = root.path().join("my cluster");
    let arguments = ["--nodes", "1", "-q", "--data", data.to_str().expect("UTF-8")];
    let dev = Dev::start(Home::new(), &arguments);
    assert_eq!(dev.said["kept"], true);
    dev.dspex(&["session", "create", "s"]).run().expect(0);
    let address = dev.nodes()[0]["api_address"].clone();
    // A second one in the same directory would be a second life of the same node.
    dev.home.dspex(&["dev", "--data"]).arg(&data).run().expect(6).says("is taken");
    process::terminate(dev.running.pid());
    dev.running.finish().expect(0).does_not_say("node-1 | ");
    assert!(data.join("node-1/data").is_dir());

    let again = Dev::start(Home::new(), &arguments[2..]);
    assert_eq!(again.nodes()[0]["api_address"], address);
    again.dspex(&["session", "show", "s"]).run().expect(0);
    again.running.interrupt();
    again.running.finish().expect(0);
    let other = again.home.dspex(&["dev", "--nodes", "3", "--data"]).arg(&data).run();
    other.expect(2).says("a cluster of 1 nodes");
}

#[test]
fn a_node_that_ends_is_told_and_started_again_by_the_command_that_is_printed() {
    let dev = Dev::start(Home::new(), &[]);
    let directory = dev.directory();
    let last = &dev.nodes()[2];
    process::kill(pid(last));
    let told = || dev.running.stderr().contains("node-3 has ended");
    assert!(holds_within(END_LIMIT, told), "{}", dev.running.stderr());
    let config = last["config"].as_str().expect("a file");
    let command = format!("DSPEX_HOME={} dspex node --config {config}", directory.join("home").display());
    assert!(dev.running.stderr().contains(&command), "{command} is not in\n{}", dev.running.stderr());
    assert_eq!(dev.answering(), 2, "it is not started again by itself");
    dev.dspex(&["session", "create", "s"]).run().expect(0);

    let by_hand = dev.home.dspex(&["node", "--config", config]).env("DSPEX_HOME", directory.join("home"));
    let by_hand = by_hand.limit(Duration::from_secs(600)).start();
    assert!(holds_within(PATIENCE, || dev.answering() == 3), "{}", by_hand.stderr());
    dev.running.interrupt();
    dev.running.finish().expect(0);
    by_hand.finish().expect(0);
    assert!(!directory.exists(), "{} is left", directory.display());
}

#[test]
fn nodes_end_with_their_parent_however_it_ends() {
    let dev = Dev::start(Home::new(), &["--nodes", "1"]);
    let (directory, node) = (dev.directory(), pid(&dev.nodes()[0]));
    let processes = process::started_with(&directory);
    assert!(processes.contains(&node));
    dev.running.kill();
    expect_gone(&processes, &directory);
    // Nobody was left to remove it.
    std::fs::remove_dir_all(&directory).expect("the directory of the killed one");
}

#[test]
fn what_cannot_be_is_refused_before_anything_starts() {
    let home = Home::new();
    for number in ["0", "8", "many"] {
        home.dspex(&["dev", "--nodes", number]).run().expect(2).says("--nodes");
    }
    for number in ["17", "many"] {
        home.dspex(&["dev", "--worker-nodes", number]).run().expect(2).says("--worker-nodes");
    }
    home.dspex(&["dev", "--env", "OPENAI_API_KEY=hunter2"]).run().expect(2).does_not_say("hunter2");
    home.dspex(&["dev", "--python", "/nonexistent/python"]).run().expect(2).says("PYTHON_MISSING");
    let foreign = tempfile::tempdir().expect("a directory");
    std::fs::write(foreign.path().join("thesis.tex"), "").expect("written");
    home.dspex(&["dev", "--data"]).arg(foreign.path()).run().expect(2).says("is not empty");
    assert!(!home.path().exists());
}
