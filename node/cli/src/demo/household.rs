//! The demo's own directory and everything that lives in it: an authority, three nodes, and the Python that they start.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use dspex_api::{Address, Ca, Client, Credentials, TimeLimits, Token};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::participants::{self, Seen};
use super::settings::{self, CERTIFICATES};
use crate::dev::nodes::{self, leader_of_whole};
use crate::dev::place::{free_ports, removed};
use crate::dev::plan::{self, Planned};
use crate::error::CommandError;
use crate::exit;
use crate::process;

/// Three survive the loss of one.
pub const NODES: usize = 3;
const CERTIFICATES_LIMIT: Duration = Duration::from_secs(20);
/// For the nodes to find each other and to elect a leader, on a machine that does something else as well.
const FORMED_LIMIT: Duration = Duration::from_secs(60);
/// For nodes that are told to end, together.
const ORDERLY_LIMIT: Duration = Duration::from_secs(5);
const KILL_LIMIT: Duration = Duration::from_secs(5);
/// For Python processes whose node has ended.
const GONE_LIMIT: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(50);
const LOG_LINES_SHOWN: usize = 12;
/// A node on loopback answers at once, or is not there.
const LIMITS: TimeLimits =
    TimeLimits { connect: Duration::from_secs(2), call: Duration::from_secs(5), load: Duration::from_secs(5) };

/// How the nodes end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As an operator ends them.
    InOrder,
    /// Nobody wants to wait for them.
    AtOnce,
    /// Nor for the Python processes that end with them.
    ByForce,
}

/// A directory, the interpreter for its programs, and the nodes.
#[derive(Debug)]
pub struct Household {
    directory: TempDir,
    /// The Python interpreter.
    pub interpreter: PathBuf,
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    planned: Planned,
    /// While it runs.
    process: Option<Child>,
    client: Option<Client>,
}

impl Household {
    /// Makes the directory, and plans its nodes.
    pub fn new(interpreter: PathBuf) -> Result<Self, CommandError> {
        let directory = tempfile::Builder::new().prefix("dspex-demo-").tempdir().map_err(|error| {
            CommandError::new(exit::FAILED, format!("no temporary directory: {error}"))
                .hint("name a directory that you may write to in TMPDIR")
        })?;
        let planned = plan::plan(&free_ports(3 * NODES)?);
        let nodes = planned.into_iter().map(|planned| Node { planned, process: None, client: None }).collect();
        Ok(Self { directory, interpreter, nodes })
    }

    /// Makes an authority and certificates, writes the nodes' files, starts the nodes.
    pub async fn start(&mut self) -> Result<(), CommandError> {
        self.certify().await?;
        let planned: Vec<Planned> = self.nodes.iter().map(|node| node.planned.clone()).collect();
        let root = self.directory.path().to_owned();
        // The root of a project, so that none above it is taken for one.
        write(&self.project().join("pyproject.toml"), "")?;
        for node in &mut self.nodes {
            let config = node.planned.config(&root);
            write(&config, &settings::of(&node.planned, &planned, &root, &self.interpreter)?)?;
            let did_not = |error: std::io::Error| {
                CommandError::new(exit::FAILED, format!("{} did not start: {error}", node.planned.name))
            };
            let log = std::fs::File::create(log(&node.planned, &root)).map_err(did_not)?;
            let started =
                nodes::command(&config, &root.join("home")).and_then(|mut command| command.stderr(log).spawn());
            node.process = Some(started.map_err(did_not)?);
        }
        Ok(())
    }

    /// `dspex cert init`, as a child process.
    async fn certify(&self) -> Result<(), CommandError> {
        let named = self.nodes.iter().map(|node| format!("--node={}=127.0.0.1", node.planned.name));
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["cert", "init", "--directory"]).arg(self.directory.path().join(CERTIFICATES)).args(named);
        command.stdin(Stdio::null()).kill_on_drop(true);
        let made = tokio::time::timeout(CERTIFICATES_LIMIT, command.output());
        let made = made.await.map_err(|_| CommandError::new(exit::FAILED, "dspex cert init does not end"))??;
        if made.status.success() {
            return Ok(());
        }
        let mut error = CommandError::new(exit::FAILED, format!("dspex cert init ended with {}", made.status));
        error.traceback = Some(String::from_utf8_lossy(&made.stderr).into_owned());
        Err(error)
    }

    /// Waits until all nodes are one cluster with a leader; its name.
    pub async fn formed(&mut self) -> Result<String, CommandError> {
        let end = Instant::now() + FORMED_LIMIT;
        while Instant::now() < end {
            self.all_run()?;
            for position in 0..self.nodes.len() {
                if let Some(client) = self.client(position).await
                    && let Ok(status) = client.cluster_status().await
                    && let Some(leader) = leader_of_whole(status, self.nodes.len())
                {
                    return Ok(leader);
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let message = format!("the nodes are no cluster after {} s", FORMED_LIMIT.as_secs());
        Err(self.explained(CommandError::new(exit::UNREACHABLE, message), 0))
    }

    /// An error when one has ended by itself.
    fn all_run(&mut self) -> Result<(), CommandError> {
        for position in 0..self.nodes.len() {
            let Some(process) = &mut self.nodes[position].process else { continue };
            if let Some(status) = process.try_wait()? {
                let message = format!("{} ended by itself ({status})", self.name(position));
                let error = CommandError::new(exit::FAILED, message);
                return Err(self
                    .explained(error, position)
                    .hint("if another process has taken a port meanwhile, run `dspex demo` again"));
            }
        }
        Ok(())
    }

    /// With the end of what a node has said.
    fn explained(&self, mut error: CommandError, position: usize) -> CommandError {
        let said = std::fs::read_to_string(log(&self.nodes[position].planned, self.directory.path()));
        error.traceback = Some(last_lines(&said.unwrap_or_default(), LOG_LINES_SHOWN));
        error
    }

    /// `node-1`.
    pub fn name(&self, position: usize) -> &str {
        &self.nodes[position].planned.name
    }

    /// Of all nodes.
    pub fn names(&self) -> Vec<&str> {
        self.nodes.iter().map(|node| node.planned.name.as_str()).collect()
    }

    /// The process of a node that runs.
    pub fn pid(&self, position: usize) -> Option<u32> {
        self.nodes[position].process.as_ref()?.id()
    }

    /// Where commands are typed.
    pub fn project(&self) -> PathBuf {
        self.directory.path().join("project")
    }

    /// What leads a command to a node, and only there.
    pub fn variables(&self, position: usize) -> [(&'static str, PathBuf); 4] {
        let (node, root) = (&self.nodes[position].planned, self.directory.path());
        [
            ("DSPEX_HOME", root.join("home")),
            ("DSPEX_ADDRESS", node.address().into()),
            ("DSPEX_TOKEN_FILE", node.token(root)),
            ("DSPEX_CA", self.authority()),
        ]
    }

    fn authority(&self) -> PathBuf {
        self.directory.path().join(CERTIFICATES).join("ca.pem")
    }

    /// A connection to a node; nothing while it does not answer.
    pub async fn client(&mut self, position: usize) -> Option<Client> {
        self.nodes[position].process.as_ref()?;
        if self.nodes[position].client.is_none() {
            self.nodes[position].client = self.connect(position).await;
        }
        self.nodes[position].client.clone()
    }

    async fn connect(&self, position: usize) -> Option<Client> {
        let node = &self.nodes[position].planned;
        let token = std::fs::read_to_string(node.token(self.directory.path())).ok()?;
        let ca = Ca::new(&std::fs::read(self.authority()).ok()?).ok()?;
        let credentials = Credentials { token: Token::new(&token).ok()?, ca: Some(ca) };
        Client::connect(node.address().parse::<Address>().ok()?, credentials, LIMITS).await.ok()
    }

    /// The workers of a run on all nodes that answer.
    pub async fn workers(&mut self, run: &str) -> Vec<Seen> {
        let mut seen = Vec::new();
        for position in 0..self.nodes.len() {
            let Some(client) = self.client(position).await else { continue };
            match client.workers().await {
                Ok(workers) => seen.extend(participants::of_run(position, &workers, run)),
                // Another connection next time.
                Err(_) => self.nodes[position].client = None,
            }
        }
        seen
    }

    /// kill -9 of a worker.
    pub fn kill_worker(&self, pid: u32) -> Result<(), CommandError> {
        send(pid, Signal::KILL).map_err(|error| CommandError::new(exit::FAILED, format!("kill -9 {pid}: {error}")))
    }

    /// kill -9 of a node.
    pub async fn kill_node(&mut self, position: usize) -> Result<(), CommandError> {
        let node = &mut self.nodes[position];
        node.client = None;
        let Some(mut process) = node.process.take() else { return Ok(()) };
        // One that has ended by itself cannot be killed, and need not be.
        let _ = process.start_kill();
        let ended = tokio::time::timeout(KILL_LIMIT, process.wait()).await;
        let survived = || CommandError::new(exit::FAILED, format!("{} survives kill -9", node.planned.name));
        ended.map_err(|_| survived())??;
        Ok(())
    }

    /// Ends the nodes, waits for all that they started, removes the directory.
    pub async fn leave_nothing_behind(&mut self, end: End) -> Result<(), CommandError> {
        if end == End::InOrder {
            self.end_in_order().await;
        }
        let mut killed = Ok(());
        for position in 0..self.nodes.len() {
            killed = killed.and(self.kill_node(position).await);
        }
        let path = self.directory.path().to_owned();
        let patience = if end == End::ByForce { Duration::ZERO } else { GONE_LIMIT / 2 };
        await_nobody(&path, patience).await?;
        removed(&path).await?;
        killed
    }

    /// All at once: none of them is to have a quorum again.
    async fn end_in_order(&mut self) {
        for pid in (0..self.nodes.len()).filter_map(|position| self.pid(position)) {
            // One that has ended by itself is as good.
            let _ = send(pid, Signal::TERM);
        }
        let end = Instant::now() + ORDERLY_LIMIT;
        for node in &mut self.nodes {
            if let Some(process) = &mut node.process
                && tokio::time::timeout_at(end, process.wait()).await.is_ok()
            {
                node.process = None;
            }
        }
    }
}

/// Python processes end by themselves when their node has; what does not, within `patience`, is killed.
async fn await_nobody(directory: &Path, patience: Duration) -> Result<(), CommandError> {
    let started = Instant::now();
    loop {
        let left = process::started_with(directory);
        if left.is_empty() {
            return Ok(());
        }
        if started.elapsed() > GONE_LIMIT {
            return Err(CommandError::new(exit::FAILED, format!("processes of the demo are still there: {left:?}")));
        }
        if started.elapsed() >= patience {
            for &pid in &left {
                let _ = send(pid, Signal::KILL);
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn send(pid: u32, signal: Signal) -> std::io::Result<()> {
    let known = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let known = known.ok_or_else(|| std::io::Error::other(format!("{pid} is no process id")))?;
    Ok(kill_process(known, signal)?)
}

fn log(node: &Planned, root: &Path) -> PathBuf {
    node.directory(root).join("log")
}

fn write(path: &Path, text: &str) -> Result<(), CommandError> {
    let failed = |error: std::io::Error| {
        CommandError::new(exit::FAILED, format!("{} cannot be written: {error}", path.display()))
    };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    std::fs::write(path, text).map_err(failed)
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_led_to_one_node_by_its_own_token_and_the_authority() {
        let household = Household::new("/venv/bin/python".into()).expect("a directory");
        let root = household.directory.path().to_owned();
        let variables = household.variables(1);
        assert_eq!(variables[1].1, Path::new(&household.nodes[1].planned.address()));
        assert_eq!(variables[2].1, root.join("node-2/data/token"));
        assert_eq!(variables[3].1, root.join("certs/ca.pem"));
        assert_eq!((household.names(), household.pid(1)), (vec!["node-1", "node-2", "node-3"], None));
    }

    /// The kernel shows the command line of a process a moment after its start.
    async fn seen(root: &Path) {
        let begun = Instant::now();
        while process::started_with(root).is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(30), "it was started");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn what_belongs_to_the_directory_is_ended_with_it() {
        let mut household = Household::new("/venv/bin/python".into()).expect("a directory");
        let root = household.directory.path().to_owned();
        // As the Python of a node that was killed: it ends a moment later.
        let mut started =
            std::process::Command::new("sh").args(["-c", "sleep 0.3; true", "sh"]).arg(&root).spawn().expect("runs");
        write(&root.join("node-1/data/blob"), "x").expect("written");
        seen(&root).await;
        household.leave_nothing_behind(End::AtOnce).await.expect("nothing is left");
        assert!(!root.exists() && process::is_gone(started.id()));
        started.wait().expect("it has ended");
    }

    #[tokio::test]
    async fn who_is_told_twice_to_end_waits_for_no_python() {
        let mut household = Household::new("/venv/bin/python".into()).expect("a directory");
        let root = household.directory.path().to_owned();
        let mut stays = std::process::Command::new("sh")
            .args(["-c", "while :; do sleep 0.2; done", "sh"])
            .arg(&root)
            .spawn()
            .expect("runs");
        seen(&root).await;
        let first = household.leave_nothing_behind(End::AtOnce);
        let waits = tokio::time::timeout(Duration::from_millis(200), first).await;
        assert!(waits.is_err(), "the control: it waits for what may end by itself");
        let begun = Instant::now();
        household.leave_nothing_behind(End::ByForce).await.expect("nothing is left");
        assert!(begun.elapsed() < GONE_LIMIT / 2 && !root.exists());
        stays.wait().expect("it was killed");
    }

    #[test]
    fn the_end_of_a_log_is_enough() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!((last_lines("a", 2).as_str(), last_lines("", 2).as_str()), ("a", ""));
    }
}
