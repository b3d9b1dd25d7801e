//! Nodes of one cluster on loopback: real processes, each with a file and a directory of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dspex_api::v1::{ClusterStatusResponse, Member};
use dspex_api::{ApiError, Ca, Client, Credentials, TimeLimits, Token};
use tempfile::TempDir;

use crate::command::{Dspex, Running};
use crate::home::Home;
use crate::places;
use crate::ports::free_port;
use crate::process;
use crate::waiting::{holds_within, wait_until};

/// For a start, an election or a catch-up, on a machine that does something else as well.
const PATIENCE: Duration = Duration::from_secs(60);
const END_LIMIT: Duration = Duration::from_secs(30);
/// Of a node in the foreground: longer than any test.
const NODE_LIMIT: Duration = Duration::from_secs(3600);

/// Some nodes that know each other, or are about to.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<ClusterNode>,
    home: Home,
    directory: TempDir,
}

/// One of them.
#[derive(Debug)]
pub struct ClusterNode {
    /// Its position, from 0; its name is `node-POSITION`.
    pub position: usize,
    /// gRPC.
    pub api: u16,
    /// Probes and metrics.
    pub http: u16,
    /// Peers.
    pub peers: u16,
    directory: PathBuf,
    /// It has no vote, so nobody needs to know where it is.
    is_worker: bool,
    /// By which its callers know it.
    ca: Option<PathBuf>,
    running: Option<Running>,
}

impl Cluster {
    /// A cluster of so many voters that has a leader.
    ///
    /// # Panics
    /// When it does not come about.
    pub fn of(voters: usize) -> Self {
        let mut cluster = Self::formed_of(voters);
        for position in 0..voters {
            cluster.start(position);
        }
        cluster.leader();
        cluster
    }

    /// The files of so many voters; none of them runs.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn formed_of(voters: usize) -> Self {
        let directory = tempfile::Builder::new().prefix("dspex-cluster-").tempdir().expect("a temporary directory");
        let mut cluster = Self { nodes: Vec::new(), home: Home::new(), directory };
        let ports: Vec<u16> = (0..voters).map(|_| free_port()).collect();
        let join: Vec<String> = ports.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect();
        let section = format!("[cluster]\njoin = [{}]\nbootstrap_expect = {voters}\n", join.join(", "));
        for port in ports {
            cluster.write(port, &section);
        }
        cluster
    }

    /// Gives a node that does not run certificates: `ca.pem`, and the node's own directory as `dspex cert init` makes it.
    ///
    /// # Panics
    /// When its file cannot be written.
    pub fn protect(&mut self, position: usize, ca: &Path, own: &Path) {
        let named = format!(
            "[peers]\nca = \"{}\"\ncertificate = \"{}\"\nkey = \"{}\"\n",
            ca.display(),
            own.join("node.pem").display(),
            own.join("node.key").display()
        );
        self.nodes[position].rewrite("[peers]\n", &named);
        self.nodes[position].rewrite("plaintext = true\n", "");
    }

    /// Gives a node that does not run a certificate for its callers, who know it by `ca.pem` from then on.
    ///
    /// # Panics
    /// When its file cannot be written.
    pub fn certify(&mut self, position: usize, ca: &Path, own: &Path) {
        let node = &mut self.nodes[position];
        node.ca = Some(ca.to_owned());
        let named = format!(
            "[api]\ncertificate = \"{}\"\nkey = \"{}\"\n",
            own.join("node.pem").display(),
            own.join("node.key").display()
        );
        node.rewrite("[api]\n", &named);
    }

    /// Lets a node that does not run listen for callers on all addresses.
    ///
    /// # Panics
    /// When its file cannot be written.
    pub fn expose(&mut self, position: usize) {
        let node = &self.nodes[position];
        for port in [node.api, node.http] {
            node.rewrite(&format!("127.0.0.1:{port}"), &format!("0.0.0.0:{port}"));
        }
    }

    /// A command that needs no node.
    pub fn local(&self, arguments: &[&str]) -> Dspex {
        self.home.dspex(arguments)
    }

    /// The files of one more node, which is to be admitted; its position.
    pub fn add(&mut self) -> usize {
        self.write(free_port(), &format!("[cluster]\njoin = [{}]\n", self.join()));
        self.nodes.len() - 1
    }

    /// The files of a node that works for the cluster and has no vote; its position.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn add_worker(&mut self) -> usize {
        self.write(free_port(), &format!("role = \"worker\"\n[cluster]\njoin = [{}]\n", self.join()));
        let position = self.nodes.len() - 1;
        self.nodes[position].is_worker = true;
        position
    }

    /// Where a new node asks: at those that may vote, as an operator would write it.
    fn join(&self) -> String {
        let known = self.nodes.iter().filter(|node| !node.is_worker);
        let known: Vec<String> = known.map(|node| format!("\"127.0.0.1:{}\"", node.peers)).collect();
        known.join(", ")
    }

    fn write(&mut self, peers: u16, section: &str) {
        let position = self.nodes.len();
        let directory = self.directory.path().join(format!("node-{position}"));
        std::fs::create_dir(&directory).expect("a directory");
        let (api, http) = (free_port(), free_port());
        let file = format!(
            "data_dir = \"data\"\n[node]\nname = \"node-{position}\"\n{section}[peers]\nlisten = \"127.0.0.1:{peers}\"\nplaintext = true\n\
             [api]\nlisten = \"127.0.0.1:{api}\"\n[http]\nlisten = \"127.0.0.1:{http}\"\n[python]\ninterpreter = \"{}\"\n\
             [sandbox]\nwritable = [\"{}\"]\n",
            places::interpreter().display(),
            places::projects().display()
        );
        std::fs::write(directory.join("dspex.toml"), file).expect("written");
        let (is_worker, ca, running) = (false, None, None);
        self.nodes.push(ClusterNode { position, api, http, peers, directory, is_worker, ca, running });
    }

    /// A node, whether or not it runs.
    pub fn node(&self, position: usize) -> &ClusterNode {
        &self.nodes[position]
    }

    /// Starts a node and waits until its API answers.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn start(&mut self, position: usize) {
        self.begin(position);
        let node = &self.nodes[position];
        let answers = || self.ask(position, async |client| client.status().await).is_ok();
        assert!(holds_within(PATIENCE, answers), "node {position} does not answer:\n{}", node.log());
    }

    /// Starts a node without waiting for anything.
    #[track_caller]
    pub fn begin(&mut self, position: usize) {
        let node = &mut self.nodes[position];
        let config = node.directory.join("dspex.toml");
        let dspex = self.home.dspex(&["node", "--config"]).arg(config);
        // openraft's own words, too: tests look for attempts that do not pause.
        node.running = Some(dspex.env("RUST_LOG", "info,openraft=warn").limit(NODE_LIMIT).start());
    }

    /// kill -9; returns when it has gone.
    ///
    /// # Panics
    /// When it does not run, or survives.
    #[track_caller]
    pub fn kill(&mut self, position: usize) {
        let running = self.nodes[position].running.take().expect("the node runs");
        process::kill(running.pid());
        assert!(process::ends_within(running.pid(), END_LIMIT), "a node survived kill -9");
    }

    /// SIGTERM; returns what it said when it has ended.
    ///
    /// # Panics
    /// When it does not run, or does not end.
    #[track_caller]
    pub fn terminate(&mut self, position: usize) -> String {
        let running = self.nodes[position].running.take().expect("the node runs");
        process::terminate(running.pid());
        assert!(process::ends_within(running.pid(), END_LIMIT), "a node does not end:\n{}", running.stderr());
        running.stderr()
    }

    /// A command against one node, with that node's own token.
    pub fn dspex(&self, position: usize, arguments: &[&str]) -> Dspex {
        self.directed(position, self.home.dspex(arguments))
    }

    /// A Python program whose runs go to one node, with that node's own token.
    pub fn python(&self, position: usize, arguments: &[&str]) -> Dspex {
        let python = self.home.dspex_of(&places::interpreter(), arguments);
        let package = places::checkout().join("python-runtime/python");
        self.directed(position, python).env("DSPEX_PROGRAM", places::program()).env("PYTHONPATH", package)
    }

    fn directed(&self, position: usize, command: Dspex) -> Dspex {
        let node = &self.nodes[position];
        let dspex = command
            .env("DSPEX_ADDRESS", format!("127.0.0.1:{}", node.api))
            .env("DSPEX_TOKEN_FILE", node.directory.join("data/token"));
        match &node.ca {
            Some(ca) => dspex.env("DSPEX_CA", ca),
            None => dspex,
        }
    }

    /// Asks a node something over gRPC.
    ///
    /// # Panics
    /// When this machine has no sockets left.
    pub fn ask<T>(
        &self,
        position: usize,
        call: impl AsyncFnOnce(Client) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async { call(self.client(position).await?).await })
    }

    /// A connection to a node, with that node's own token.
    ///
    /// # Errors
    /// When it does not answer.
    ///
    /// # Panics
    /// When the authority that it was given is none.
    pub async fn client(&self, position: usize) -> Result<Client, ApiError> {
        let node = &self.nodes[position];
        let address = format!("127.0.0.1:{}", node.api);
        let address = address.parse::<dspex_api::Address>().expect("an address");
        let credentials = Credentials { token: node.token(), ca: node.ca() };
        Client::connect(address, credentials, TimeLimits::default()).await
    }

    /// The cluster as a node sees it.
    ///
    /// # Panics
    /// When the node does not answer.
    #[track_caller]
    pub fn status(&self, position: usize) -> ClusterStatusResponse {
        self.ask(position, async |client| client.cluster_status().await).expect("the node answers")
    }

    /// The position of the node with this id.
    ///
    /// # Panics
    /// When no member has it.
    #[track_caller]
    pub fn position(&self, node_id: u64) -> usize {
        let members = self.status(self.running()[0]).members;
        let name = members.iter().find(|member| member.node_id == node_id).map(|member| member.name.as_str());
        let number = name.and_then(|name| name.strip_prefix("node-")?.parse().ok());
        number.unwrap_or_else(|| panic!("no member {node_id} in {members:?}"))
    }

    /// The positions of the nodes that run.
    pub fn running(&self) -> Vec<usize> {
        self.nodes.iter().filter(|node| node.running.is_some()).map(|node| node.position).collect()
    }

    /// Waits until every running node that is a member knows the same leader, which runs; its position.
    ///
    /// # Panics
    /// When they do not agree.
    #[track_caller]
    pub fn leader(&self) -> usize {
        wait_until("the members agree on a leader", PATIENCE, || {
            let mut leaders = Vec::new();
            for position in self.running() {
                let status = self.ask(position, async |client| client.cluster_status().await).ok()?;
                // A member has a name as soon as it has said who it is.
                if status.members.iter().any(|member| member.reachable && member.name.is_empty()) {
                    return None;
                }
                if status.members.iter().any(|member| member.node_id == status.node_id) {
                    leaders.push(status.members.into_iter().find(|member| member.leader)?.name);
                }
            }
            let first = leaders.first()?;
            let agreed = leaders.iter().all(|other| other == first);
            let position: usize = first.strip_prefix("node-")?.parse().ok()?;
            (agreed && self.nodes.get(position)?.running.is_some()).then_some(position)
        })
    }

    /// A member as the node at a position sees it, by the position of the member.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn member(&self, asked: usize, position: usize) -> Member {
        let name = format!("node-{position}");
        let members = self.status(asked).members;
        let found = members.iter().find(|member| member.name == name).cloned();
        found.unwrap_or_else(|| panic!("no member {name} in {members:?}"))
    }
}

impl ClusterNode {
    /// What it has said so far in this life.
    pub fn log(&self) -> String {
        self.running.as_ref().map(Running::stderr).unwrap_or_default()
    }

    /// Its process.
    ///
    /// # Panics
    /// When it does not run.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.running.as_ref().expect("the node runs").pid()
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Its file.
    pub fn config(&self) -> PathBuf {
        self.directory.join("dspex.toml")
    }

    fn rewrite(&self, from: &str, to: &str) {
        let file = std::fs::read_to_string(self.config()).expect("readable");
        assert!(file.contains(from), "{from:?} is not in {file}");
        std::fs::write(self.config(), file.replace(from, to)).expect("written");
    }

    fn ca(&self) -> Option<Ca> {
        let pem = self.ca.as_ref().map(|ca| std::fs::read(ca).expect("readable"));
        pem.map(|pem| Ca::new(&pem).expect("a certificate"))
    }

    fn token(&self) -> Token {
        std::fs::read_to_string(self.data().join("token"))
            .ok()
            .and_then(|text| Token::new(&text).ok())
            .unwrap_or_default()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for node in &self.nodes {
                eprintln!("--- the end of what node-{} said", node.position);
                let log = node.log();
                let lines: Vec<&str> = log.lines().collect();
                lines[lines.len().saturating_sub(40)..].iter().for_each(|line| eprintln!("{line}"));
            }
        }
    }
}
