//! The processes of the nodes: started, watched, ended. None of them outlives this program.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use dspex_api::v1::{ClusterStatusResponse, CreateTokenRequest, Member};
use dspex_api::{Address, Client, TimeLimits, Token};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};

use super::lines::{self, Tail};
use super::place::{self, Place};
use super::plan::{Planned, Role, quoted};
use crate::console::Console;
use crate::error::CommandError;
use crate::exit;
use crate::follow::new_request_id;
use crate::process;

/// For a node to end in order; one that leads hands over, one with calls under way waits for them.
const END_LIMIT: Duration = Duration::from_secs(20);
const KILL_LIMIT: Duration = Duration::from_secs(5);
/// Between the end of a process and the end of its output.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The name of the token that every node knows.
const TOKEN: &str = "dev";
/// A node on loopback answers at once, or is not there yet.
const LIMITS: TimeLimits =
    TimeLimits { connect: Duration::from_secs(1), call: Duration::from_secs(5), load: Duration::from_secs(5) };

/// All of them, in the order of their start.
#[derive(Debug)]
pub struct Nodes<'a> {
    place: &'a Place,
    console: &'a Console,
    processes: Vec<Process>,
    /// How each has ended, by its position.
    ends: watch::Sender<Vec<Option<String>>>,
    /// Of whose end was told.
    told: Vec<bool>,
}

#[derive(Debug)]
struct Process {
    pid: u32,
    orders: mpsc::Sender<Signal>,
    tail: Tail,
}

impl<'a> Nodes<'a> {
    /// The nodes of a place; none runs yet.
    pub fn new(place: &'a Place, console: &'a Console) -> Self {
        let count = place.nodes().len();
        let (ends, _) = watch::channel(vec![None; count]);
        Self { place, console, processes: Vec::new(), ends, told: vec![false; count] }
    }

    /// Starts them.
    pub fn start(&mut self) -> Result<(), CommandError> {
        for (position, node) in self.place.nodes().iter().enumerate() {
            let started = spawn(self.place, node);
            let mut child = started
                .map_err(|error| CommandError::new(exit::FAILED, format!("{} did not start: {error}", node.name)))?;
            let (tail, quiet, name) = (Tail::default(), self.console.is_quiet(), node.name.clone());
            // A console for the task: this one belongs to the command.
            let console = Console::new(quiet, 0);
            let show = move |line: &str| {
                if !quiet {
                    console.line(&format!("{name} | {line}"));
                }
            };
            let output = child.stderr.take().map(|pipe| tokio::spawn(lines::follow(pipe, tail.clone(), show)));
            let (orders, queue) = mpsc::channel(4);
            self.processes.push(Process { pid: child.id().unwrap_or_default(), orders, tail });
            let ends = self.ends.clone();
            tokio::spawn(async move {
                let how = tend(child, queue).await;
                if let Some(output) = output {
                    // A child of its own may hold the pipe.
                    let _ = tokio::time::timeout(DRAIN_LIMIT, output).await;
                }
                ends.send_modify(|ends| ends[position] = Some(how));
            });
        }
        Ok(())
    }

    /// Their processes.
    pub fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(|process| process.pid).collect()
    }

    /// Waits until a voter knows a leader, and reaches every member; of a new cluster, all nodes are members. Gives the name of
    /// the leader.
    pub async fn formed(&self, is_new: bool) -> String {
        let wanted = if is_new { self.place.nodes().len() } else { 1 };
        loop {
            for node in self.place.voters() {
                if let Some(leader) = self.leader(node, wanted).await {
                    return leader;
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Makes a token that every node knows, unless the directory has one: an admin's, as that of each node is for itself.
    pub async fn share_token(&self) -> Result<(), CommandError> {
        if place::token(self.place.path()).exists() {
            return Ok(());
        }
        let mut refused = None;
        for node in self.place.voters() {
            let Some(client) = self.client(node).await else { continue };
            let request_id = Some(new_request_id());
            let request =
                CreateTokenRequest { request_id, name: TOKEN.to_owned(), role: "admin".to_owned(), ttl_ms: None };
            match client.create_token(request).await {
                Ok(created) => return self.place.keep_token(&created.secret),
                Err(error) => refused = Some(error),
            }
        }
        let error = refused.map_or_else(|| CommandError::new(exit::FAILED, "no node answers any more"), Into::into);
        Err(error)
    }

    /// Completes when a node ends before there is a cluster.
    pub async fn one_ended(&self) -> CommandError {
        let (position, how) = self.end_of(|_| true).await;
        let name = &self.place.nodes()[position].name;
        let mut error = CommandError::new(exit::FAILED, format!("{name} ended before there was a cluster ({how})"));
        if self.console.is_quiet() {
            error.traceback = Some(self.processes[position].tail.text());
        }
        error
    }

    /// Waits until a node ends, says so, and how it is started again.
    pub async fn tell_ended(&mut self) {
        let (position, how) = self.end_of(|position| !self.told[position]).await;
        self.told[position] = true;
        let node = &self.place.nodes()[position];
        self.console.warning(&format!(
            "{} has ended ({how}); to start it again, in another terminal: DSPEX_HOME={} dspex node --config {}",
            node.name,
            quoted(&self.place.home().display().to_string()),
            quoted(&node.config(self.place.path()).display().to_string()),
        ));
        if self.console.is_quiet() {
            self.console.line(self.processes[position].tail.text().trim_end());
        }
    }

    /// Ends those without a vote at the same time, then the others one after the other, the last one first: as long as possible there
    /// is a quorum to hand over to.
    pub async fn end(&self) {
        let all = self.place.nodes().iter().zip(&self.processes);
        for (_, running) in all.filter(|(node, _)| node.role == Role::Worker) {
            running.order(Signal::TERM);
        }
        for (position, running) in self.processes.iter().enumerate().rev() {
            let node = &self.place.nodes()[position];
            if self.ends.borrow()[position].is_some() {
                self.end_successor(node).await;
                continue;
            }
            // The others have been told.
            if node.role == Role::Voter {
                running.order(Signal::TERM);
            }
            if !self.ends_within(position, END_LIMIT).await {
                let limit = END_LIMIT.as_secs();
                self.console.warning(&format!("{} has not ended within {limit} s: it is killed", node.name));
                running.order(Signal::KILL);
                self.ends_within(position, KILL_LIMIT).await;
            }
        }
    }

    /// kill -9 for all that are left.
    pub async fn kill(&self) {
        for process in &self.processes {
            process.order(Signal::KILL);
        }
        for position in 0..self.processes.len() {
            self.ends_within(position, KILL_LIMIT).await;
        }
    }

    /// One that was started again by hand: its directory is about to go.
    async fn end_successor(&self, node: &Planned) {
        let Some(client) = self.client(node).await else { return };
        let Ok(status) = client.status().await else { return };
        if client.stop(true).await.is_ok() {
            process::wait_until_gone(status.pid, END_LIMIT).await;
        }
    }

    async fn ends_within(&self, position: usize, limit: Duration) -> bool {
        let mut ends = self.ends.subscribe();
        let ended = ends.wait_for(|ends| ends[position].is_some());
        tokio::time::timeout(limit, ended).await.is_ok()
    }

    /// The first node of interest that has ended, and how.
    async fn end_of(&self, of_interest: impl Fn(usize) -> bool) -> (usize, String) {
        let find = |ends: &[Option<String>]| {
            let mut ended = ends.iter().enumerate().filter(|(position, _)| of_interest(*position));
            ended.find_map(|(position, how)| Some((position, how.clone()?)))
        };
        let mut ends = self.ends.subscribe();
        loop {
            if let Some(found) = find(&ends.borrow_and_update()) {
                return found;
            }
            // The sender is this structure's own.
            if ends.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    async fn leader(&self, node: &Planned, wanted: usize) -> Option<String> {
        let status = self.client(node).await?.cluster_status().await.ok()?;
        let workers = status.members.iter().filter(|member| member.role == Role::Worker.name() && member.reachable);
        if workers.count() < self.place.workers() {
            return None;
        }
        leader_of_whole(status, wanted)
    }

    async fn client(&self, node: &Planned) -> Option<Client> {
        let token = std::fs::read_to_string(node.token(self.place.path())).ok()?;
        let address = node.address().parse::<Address>().ok()?;
        Client::connect(address, Token::new(&token).ok()?, LIMITS).await.ok()
    }
}

impl Process {
    /// A process that has ended takes no orders.
    fn order(&self, signal: Signal) {
        let _ = self.orders.try_send(signal);
    }
}

/// Passes signals on until the process has ended; says how it did.
async fn tend(mut child: Child, mut orders: mpsc::Receiver<Signal>) -> String {
    loop {
        tokio::select! {
            ended = child.wait() => {
                return ended.map_or_else(|error| error.to_string(), |status| status.to_string());
            }
            order = orders.recv() => {
                // Nobody is left to give orders: the child is killed when it is dropped.
                let Some(signal) = order else { return "left alone".to_owned() };
                // As long as it has not been waited for, the number is its own.
                let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
                if let Some(pid) = pid {
                    let _ = kill_process(pid, signal);
                }
            }
        }
    }
}

fn spawn(place: &Place, node: &Planned) -> io::Result<Child> {
    command(&node.config(place.path()), &place.home())?.stderr(Stdio::piped()).spawn()
}

/// `dspex node` with this file, as a child that ends with this program; its tokens go to `home`.
pub(crate) fn command(config: &Path, home: &Path) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["node", "--config"])
        .arg(config)
        // Whatever ends this program ends the node.
        .args(["--parent", &std::process::id().to_string()])
        .env("DSPEX_HOME", home)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        // Ctrl-C in the terminal is for this program, which ends its nodes in order.
        .process_group(0)
        .kill_on_drop(true);
    for (name, _) in std::env::vars_os() {
        if is_setting(&name) {
            command.env_remove(name);
        }
    }
    Ok(command)
}

/// The name of the leader, where so many members, or more, have said who they are and answer. Of nodes without a vote that have
/// vanished the cluster tells for a day; nobody waits for them.
pub(crate) fn leader_of_whole(status: ClusterStatusResponse, count: usize) -> Option<String> {
    let is_whole = status.members.iter().filter(|member| is_there(member)).count() >= count
        && status.members.iter().all(|member| is_there(member) || has_vanished(member));
    let leader = status.members.into_iter().find(|member| member.leader)?;
    is_whole.then_some(leader.name)
}

fn is_there(member: &Member) -> bool {
    member.reachable && !member.name.is_empty()
}

fn has_vanished(member: &Member) -> bool {
    member.role == Role::Worker.name() && !member.reachable
}

/// Settings of the caller's would go before every node's own: all would want one port.
fn is_setting(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| {
        name.strip_prefix("DSPEX_").is_some_and(|setting| setting.contains("__") || setting == "DATA_DIR")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, leader: bool, reachable: bool) -> Member {
        Member { name: name.to_owned(), leader, reachable, ..Member::default() }
    }

    #[test]
    fn a_cluster_is_whole_when_all_have_said_who_they_are_and_one_leads() {
        let leader = |members: &[Member]| {
            leader_of_whole(ClusterStatusResponse { members: members.to_vec(), ..Default::default() }, 2)
        };
        let (first, second) = (member("node-1", false, true), member("node-2", true, true));
        assert_eq!(leader(&[first.clone(), second.clone()]).as_deref(), Some("node-2"));
        assert_eq!(leader(std::slice::from_ref(&second)), None, "one is missing");
        assert_eq!(leader(&[first, member("node-2", false, true)]), None, "nobody leads");
        assert_eq!(leader(&[member("", false, true), second.clone()]), None);
        let worker = |reachable| Member { role: "worker".to_owned(), ..member("worker-node-1", false, reachable) };
        assert_eq!(leader(&[worker(true), second.clone()]).as_deref(), Some("node-2"));
        assert_eq!(leader(&[worker(false), second.clone()]), None, "one is missing");
        let third = member("node-3", false, true);
        assert_eq!(leader(&[worker(false), third, second.clone()]).as_deref(), Some("node-2"), "nobody waits for it");
        assert_eq!(leader(&[member("node-1", false, false), second]), None);
    }

    #[test]
    fn settings_of_the_caller_are_not_those_of_every_node() {
        for (name, expected) in [
            ("DSPEX_API__LISTEN", true),
            ("DSPEX_DATA_DIR", true),
            ("DSPEX_HOME", false),
            ("DSPEX_DIGITS_LATENCY_MS", false),
            ("OPENAI__KEY", false),
        ] {
            assert_eq!(is_setting(OsStr::new(name)), expected, "{name}");
        }
    }

    #[tokio::test]
    async fn a_process_is_told_to_end_and_how_it_did_is_known() {
        let child = Command::new("sleep").arg("60").kill_on_drop(true).spawn().expect("sleeps");
        let (orders, queue) = mpsc::channel(1);
        orders.try_send(Signal::TERM).expect("room");
        let how = tokio::time::timeout(Duration::from_secs(10), tend(child, queue)).await.expect("it ends");
        assert!(how.contains("signal: 15"), "{how}");
        let child = Command::new("false").spawn().expect("runs");
        let (_orders, queue) = mpsc::channel(1);
        assert!(tend(child, queue).await.contains("exit status: 1"));
    }
}
