//! A cluster of real `dspex node` processes on this machine, made to be broken.
//!
//! | File | Does |
//! |---|---|
//! | `layout` | what it is made of: hosts, disks and clocks of its own |
//! | `node` | one process with its file, directory and log |
//! | `ports` | ports for clusters without hosts of their own |

mod error;
mod layout;
mod node;
mod ports;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub use error::ClusterError;
pub use layout::{Layout, Need, Program};
pub use node::Node;

use crate::control::no_sync;
use crate::fault::Disk;
use crate::fault::clock::Clock;
use crate::fault::network::Network;
use crate::target::{Door, Target};

/// For a start, an election or a catch-up, on a machine that does something else as well.
pub const PATIENCE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(50);

/// What clients call in sessions.
const COMMANDS: &str = "commands.py";
/// What code on every node may write to.
const SCRATCH: &str = "scratch";
const PUT: &str = r#"import dspex


def put(value):
    dspex.current_session().data["value"] = value
"#;

/// What a node needs of this process's environment.
const INHERITED: [&str; 5] = ["PATH", "HOME", "USER", "LANG", "TMPDIR"];

/// A cluster. It goes away with this value: its processes first, then what they ran on.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    layout: Layout,
    /// The voters.
    target: Target,
    /// All nodes.
    everyone: Target,
    network: Option<Network>,
    directory: TempDir,
}

/// What a node is for.
#[derive(Clone, Copy)]
enum Role {
    Voter,
    /// It executes, and has no vote.
    Worker,
}

/// Where a node listens.
struct Addresses {
    peers: SocketAddr,
    api: SocketAddr,
    http: SocketAddr,
}

impl Cluster {
    /// Makes one and waits until it has a leader.
    ///
    /// # Errors
    /// When this machine cannot have it, or it does not come about.
    pub fn start(layout: Layout) -> Result<Self, ClusterError> {
        let mut cluster = Self::make(layout)?;
        for position in 0..cluster.nodes.len() {
            cluster.start_node(position)?;
        }
        cluster.leader_within(PATIENCE)?;
        Ok(cluster)
    }

    fn make(layout: Layout) -> Result<Self, ClusterError> {
        let directory = tempfile::Builder::new().prefix("dspex-chaos-").tempdir();
        let directory = directory.map_err(ClusterError::system("a temporary directory"))?;
        let hosts = u32::try_from(layout.all()).unwrap_or(u32::MAX);
        let network = if layout.networks { Some(Network::new(hosts)?) } else { None };
        let addresses = (0..layout.all()).map(|position| addresses(network.as_ref(), position));
        let addresses = addresses.collect::<Result<Vec<_>, _>>()?;
        let commands = directory.path().join(COMMANDS);
        std::fs::write(&commands, PUT).map_err(ClusterError::at(&commands))?;
        node::make_directory(&directory.path().join(SCRATCH))?;
        let certificates = directory.path().join("certs");
        if network.is_some() {
            certify(&layout.program, &certificates, &addresses)?;
        }
        let authority = network.is_some().then(|| certificates.join("ca.pem"));
        let mut nodes = Vec::new();
        for (position, own) in addresses.iter().enumerate() {
            let node = make_node(&layout, directory.path(), position)?;
            let role = if position < layout.nodes { Role::Voter } else { Role::Worker };
            let voters = &addresses[..layout.nodes];
            let file = file(&layout, &node, (role, own), voters, authority.as_deref(), directory.path());
            std::fs::write(node.config(), file).map_err(ClusterError::at(&node.config()))?;
            nodes.push(node);
        }
        let doors = nodes.iter().zip(&addresses).map(|(node, own)| door(node, own, authority.as_ref()));
        let doors: Vec<Door> = doors.collect();
        let target = |doors: &[Door]| Target::new(doors.to_vec()).map_err(ClusterError::system("threads for clients"));
        let (target, everyone) = (target(&doors[..layout.nodes])?, target(&doors)?);
        Ok(Self { nodes, layout, target, everyone, network, directory })
    }

    /// What it is made of.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// How its voters are asked.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// How all its nodes are asked. Those without a vote answer for themselves alone.
    pub fn everyone(&self) -> &Target {
        &self.everyone
    }

    /// A directory that code on every node may write to.
    pub fn scratch(&self) -> PathBuf {
        self.directory.path().join(SCRATCH)
    }

    /// A command that puts its argument `value` into the data of the session it is called in.
    pub fn put_command(&self) -> String {
        format!("{}:put", self.directory.path().join(COMMANDS).display())
    }

    /// Its nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// One of them.
    pub fn node(&mut self, position: usize) -> &mut Node {
        &mut self.nodes[position]
    }

    /// The hosts of its nodes: node 0 is on host 1.
    ///
    /// # Errors
    /// Where the nodes have no hosts of their own.
    pub fn network(&mut self) -> Result<&mut Network, ClusterError> {
        let none = || ClusterError::Impossible("the nodes have no hosts of their own".to_owned());
        self.network.as_mut().ok_or_else(none)
    }

    /// Starts a node without waiting for anything.
    ///
    /// # Errors
    /// When there can be no such process.
    pub fn start_node(&mut self, position: usize) -> Result<(), ClusterError> {
        let command = self.command(position);
        self.nodes[position].start(command)
    }

    fn command(&self, position: usize) -> Command {
        let program = &self.layout.program.path;
        let mut words: Vec<PathBuf> = if self.layout.syncs { Vec::new() } else { no_sync::launcher() };
        words.push(program.clone());
        let first = words.remove(0);
        let mut command = match (&self.network, u32::try_from(position + 1)) {
            (Some(network), Ok(host)) => network.command(host, first),
            _ => Command::new(first),
        };
        command.args(words).arg("node").arg("--config").arg(self.nodes[position].config());
        command.env_clear();
        let inherited = INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        command.envs(inherited).env("RUST_LOG", "info,openraft=warn");
        command.env("DSPEX_HOME", self.directory.path().join("home")).current_dir(self.directory.path());
        command
    }

    /// Waits until the running nodes know one leader, which runs; its position.
    ///
    /// # Errors
    /// When they do not agree in time.
    pub fn leader_within(&mut self, limit: Duration) -> Result<usize, ClusterError> {
        let begun = Instant::now();
        loop {
            if let Some(leader) = self.leader() {
                return Ok(leader);
            }
            if begun.elapsed() > limit {
                let waiting = "a leader that all nodes know".to_owned();
                return Err(ClusterError::TooLong { waiting, limit, seen: self.last_words() });
            }
            std::thread::sleep(TICK);
        }
    }

    /// The leader that the running voters agree on.
    fn leader(&mut self) -> Option<usize> {
        let running: Vec<usize> = (0..self.layout.nodes).filter(|&at| self.nodes[at].pid().is_some()).collect();
        let known = running.iter().map(|&at| self.leader_of(at)).collect::<Option<Vec<usize>>>()?;
        let first = *known.first()?;
        (known.iter().all(|&other| other == first) && running.contains(&first)).then_some(first)
    }

    /// The leader that a node knows.
    pub fn leader_of(&self, position: usize) -> Option<usize> {
        let status = self.target.ask(position, async |client| client.cluster_status().await).ok()?;
        let leader = status.members.into_iter().find(|member| member.leader)?;
        self.nodes.iter().position(|node| node.name == leader.name)
    }

    /// The ends of the logs, for a person who has to find out why.
    pub fn last_words(&self) -> String {
        const LINES: usize = 5;
        let words = self.nodes.iter().map(|node| {
            let log = node.log();
            let lines: Vec<&str> = log.lines().collect();
            format!("\n--- {}\n{}", node.name, lines[lines.len().saturating_sub(LINES)..].join("\n"))
        });
        words.collect()
    }

    /// Ends its nodes and keeps their logs and data beyond its end; where they are.
    pub fn keep(&mut self) -> PathBuf {
        for node in &mut self.nodes {
            node.reap();
            if let Err(error) = node.keep_data() {
                eprintln!("{}: its data cannot be kept: {error}", node.name);
            }
        }
        self.directory.disable_cleanup(true);
        self.directory.path().to_owned()
    }
}

fn addresses(network: Option<&Network>, position: usize) -> Result<Addresses, ClusterError> {
    let Some(network) = network else {
        let port = || Ok::<_, ClusterError>(SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free_port()?)));
        return Ok(Addresses { peers: port()?, api: port()?, http: port()? });
    };
    let host = IpAddr::V4(network.address(u32::try_from(position + 1).unwrap_or(u32::MAX)));
    let port = |port| SocketAddr::from((host, port));
    Ok(Addresses { peers: port(7410), api: port(7400), http: port(7480) })
}

fn name(position: usize) -> String {
    format!("node-{}", position + 1)
}

/// One authority, and a certificate for each node.
fn certify(program: &Program, directory: &Path, addresses: &[Addresses]) -> Result<(), ClusterError> {
    let mut command = Command::new(&program.path);
    command.args(["cert", "init", "--directory"]).arg(directory);
    for (position, own) in addresses.iter().enumerate() {
        command.arg("--node").arg(format!("{}={}", name(position), own.api.ip()));
    }
    let shown = format!("{} cert init", program.path.display());
    let output = command.output().map_err(ClusterError::system(shown.clone()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(ClusterError::Command { command: shown, said })
}

fn make_node(layout: &Layout, directory: &Path, position: usize) -> Result<Node, ClusterError> {
    let name = name(position);
    let directory = directory.join(&name);
    node::make_directory(&directory)?;
    let disk = layout.disk_megabytes.map(Disk::new).transpose()?;
    let clock = layout.clocks.then(Clock::new).transpose()?;
    Ok(Node::new(name, directory, disk, clock))
}

fn file(
    layout: &Layout,
    node: &Node,
    (role, own): (Role, &Addresses),
    voters: &[Addresses],
    authority: Option<&Path>,
    directory: &Path,
) -> String {
    let join: Vec<String> = voters.iter().map(|addresses| format!("\"{}\"", addresses.peers)).collect();
    // Who votes is said once, by those who do.
    let (role, expected) = match role {
        Role::Voter => (String::new(), format!("bootstrap_expect = {}\n", voters.len())),
        Role::Worker => ("role = \"worker\"\n".to_owned(), String::new()),
    };
    let certificate = authority.map(|ca| {
        let own = ca.with_file_name(&node.name);
        format!("certificate = \"{}/node.pem\"\nkey = \"{}/node.key\"\n", own.display(), own.display())
    });
    let peers = match (authority, &certificate) {
        (Some(ca), Some(certificate)) => format!("ca = \"{}\"\n{certificate}", ca.display()),
        _ => "plaintext = true\n".to_owned(),
    };
    format!(
        "data_dir = \"{}\"\n[node]\nname = \"{}\"\n{role}[cluster]\njoin = [{}]\n{expected}\
         [peers]\nlisten = \"{}\"\n{peers}[api]\nlisten = \"{}\"\n{}[http]\nlisten = \"{}\"\n[python]\ninterpreter = \"{}\"\n\
         [sandbox]\nreadable = [\"{}\"]\nwritable = [\"{}\"]\n",
        node.data().display(),
        node.name,
        join.join(", "),
        own.peers,
        own.api,
        certificate.unwrap_or_default(),
        own.http,
        layout.program.interpreter.display(),
        directory.join(COMMANDS).display(),
        directory.join(SCRATCH).display(),
    )
}

fn door(node: &Node, own: &Addresses, authority: Option<&PathBuf>) -> Door {
    let address = dspex_api::Address::Tcp(own.api.to_string());
    Door { name: node.name.clone(), address, token_file: node.data().join("token"), ca: authority.cloned() }
}
