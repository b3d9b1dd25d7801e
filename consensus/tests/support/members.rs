//! Several voters in one process, over real connections on loopback.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dspex_consensus::{Consensus, ConsensusOptions, Formation, PeerService, Peers};
use dspex_model::{NodeId, State};
use dspex_storage::{DataDirectory, OpenError, Options};
use dspex_transport::{Identity, Limits, Security, Transport, TransportSettings};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::NAMED;

pub const CLUSTER: &str = "7a6d3a5e-3f4f-4c0e-9f0f-2a51b1d9c001";
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Member {
    pub id: NodeId,
    pub path: PathBuf,
    pub address: String,
    pub running: Option<Running>,
}

pub struct Running {
    pub data: DataDirectory,
    pub consensus: Consensus,
    pub transport: Transport,
}

pub struct Cluster {
    pub members: Vec<Member>,
    pub options: ConsensusOptions,
    _directory: TempDir,
}

pub fn options() -> ConsensusOptions {
    ConsensusOptions { time_limit: Duration::from_secs(10), ..ConsensusOptions::default() }
}

/// The address is kept over a restart: it is what the membership says.
pub async fn start(id: NodeId, path: &Path, address: &str, options: &ConsensusOptions) -> Running {
    let data = timeout(PATIENCE, open(id, path)).await.expect("the directory is free in time");
    // What `submit` names is on every node.
    data.blobs().put_many(&NAMED).expect("stored");
    data.identity_file().join_cluster(CLUSTER).expect("it belongs to the cluster");
    let service = PeerService::new();
    let settings = TransportSettings {
        identity: Identity { node: id.0, cluster: data.identity().cluster_id },
        listen: Some(address.parse().expect("an address")),
        security: Security::Plain,
        limits: Limits::default(),
    };
    let transport = Transport::start(settings, service.clone()).await.expect("the transport starts");
    let peers =
        Peers { transport: transport.clone(), service, address: address.to_owned(), formation: Formation::default() };
    let consensus = Consensus::start(&data, options.clone(), Some(peers)).await.expect("consensus starts");
    Running { data, consensus, transport }
}

/// Answers that a peer is still waiting for hold the stores until they are given. In a process of its own they end with it.
async fn open(id: NodeId, path: &Path) -> DataDirectory {
    loop {
        match DataDirectory::open(path, &Options::cluster(id)) {
            Err(OpenError::Locked { pid: Some(pid), .. }) if pid == std::process::id() => {
                sleep(Duration::from_millis(10)).await;
            }
            opened => return opened.expect("the directory opens"),
        }
    }
}

pub fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

impl Cluster {
    pub async fn of(size: u64) -> Self {
        Self::with(size, options()).await
    }

    /// Voters that have a leader.
    pub async fn with(size: u64, options: ConsensusOptions) -> Self {
        let mut cluster = Self { members: Vec::new(), options, _directory: tempfile::tempdir().expect("a directory") };
        for _ in 0..size {
            cluster.add().await;
        }
        let members: BTreeMap<NodeId, String> =
            cluster.members.iter().map(|member| (member.id, member.address.clone())).collect();
        cluster.node(0).form(&members).await.expect("the cluster is formed");
        cluster.leader().await;
        cluster
    }

    /// A node that belongs to nothing yet; its position.
    pub async fn add(&mut self) -> usize {
        let id = NodeId(self.members.len() as u64 + 1);
        let (path, address) = (self._directory.path().join(id.to_string()), free_address());
        let running = start(id, &path, &address, &self.options).await;
        self.members.push(Member { id, path, address, running: Some(running) });
        self.members.len() - 1
    }

    pub fn node(&self, position: usize) -> &Consensus {
        &self.members[position].running.as_ref().expect("it runs").consensus
    }

    pub fn running(&self) -> impl Iterator<Item = usize> + '_ {
        self.members.iter().enumerate().filter(|(_, member)| member.running.is_some()).map(|(position, _)| position)
    }

    /// The position of the leader that all running voters agree on.
    pub async fn leader(&self) -> usize {
        let agreed = async {
            loop {
                let leaders: Vec<_> = self.running().map(|position| self.node(position).status().leader).collect();
                if let Some(Some(leader)) = leaders.first().copied()
                    && leaders.iter().all(|other| *other == Some(leader))
                    && self.running().any(|position| self.members[position].id == leader)
                {
                    return usize::try_from(leader.0).expect("small") - 1;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, agreed).await.expect("a leader")
    }

    pub async fn stop(&mut self, position: usize) {
        let Running { data, consensus, transport } = self.members[position].running.take().expect("it runs");
        consensus.shutdown().await;
        transport.close();
        drop((consensus, transport));
        data.close().expect("the directory closes");
    }

    pub async fn restart(&mut self, position: usize) {
        let member = &self.members[position];
        let running = start(member.id, &member.path, &member.address, &self.options).await;
        self.members[position].running = Some(running);
    }

    /// Waits until every running node has applied the same entries; their state, which must be one.
    pub async fn settled(&self) -> State {
        let equal = async {
            loop {
                let states: Vec<State> =
                    self.running().map(|position| self.node(position).read_stale(State::clone)).collect();
                let applied: Vec<_> =
                    self.running().map(|position| self.node(position).status().applied_index).collect();
                if applied.windows(2).all(|pair| pair[0] == pair[1]) && states.windows(2).all(|pair| pair[0] == pair[1])
                {
                    return states[0].clone();
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, equal).await.expect("the same state everywhere")
    }
}

impl Cluster {
    /// The leader while nodes beyond these belong to nothing.
    pub async fn leader_among(&self, count: usize) -> usize {
        let known = async {
            loop {
                if let Some(leader) = (0..count).find_map(|position| self.node(position).status().leader) {
                    return usize::try_from(leader.0).expect("small") - 1;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, known).await.expect("a leader")
    }
}
