//! How nodes without a log become a cluster, once; and how a node without one is taken into a cluster that exists.

pub(crate) mod plan;

use std::collections::BTreeMap;
use std::time::Duration;

use dspex_model::{Command, NodeId, Outcome, Proposal};
use dspex_transport::{CallError, Channel, Transport};
use futures::future::BoxFuture;
use openraft::RaftMetrics;
use openraft::async_runtime::WatchReceiver;
use uuid::Uuid;

use self::plan::{Step, next_step};
use crate::codec::wire;
use crate::consensus::Consensus;
use crate::error::{FormationError, ProposeError};
use crate::network::method;
use crate::types::Types;

pub use self::plan::Introduction;

/// For a question to a node that may not be there yet.
const ASK_LIMIT: Duration = Duration::from_secs(2);
/// Between rounds of questions; nodes are usually started within seconds of each other.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Where the first voters are, and how many.
#[derive(Debug, Clone, Default)]
pub struct Formation {
    /// HOST:PORT of the first voters; this node's own may be among them.
    pub join: Vec<String>,
    /// How many voters form the cluster; 0: this node never forms one.
    pub expect: u32,
    /// The node works for a cluster and is no part of the log, neither as a voter nor as one that follows.
    pub is_worker: bool,
}

/// Hears what is waited for.
pub type Told = Box<dyn FnMut(&str) + Send>;

impl Consensus {
    /// Returns when this node is a member of a cluster that has a leader: at once when it was before, else after the cluster
    /// has been formed or this node has been admitted. `told` hears what is waited for, each time that it changes.
    ///
    /// # Errors
    /// When waiting cannot help.
    pub fn become_member(&self, mut told: Told) -> BoxFuture<'_, Result<(), FormationError>> {
        Box::pin(async move {
            let own = self.own()?;
            if let Some(outpost) = self.outpost() {
                outpost.found(told).await;
                return Ok(());
            }
            if let Some(why) = plan::alone(&own.introduction().await) {
                return Err(FormationError::Never { detail: why });
            }
            let mut pause = FIRST_PAUSE;
            let mut waited_for = String::new();
            while !self.is_member().await? {
                let waits = match self.round().await? {
                    Step::Form { cluster, members } => match self.form_cluster(cluster, &members).await {
                        Ok(()) => continue,
                        Err(why) => why,
                    },
                    Step::Wait(why) => why,
                    Step::Found(cluster) => format!(
                        "cluster {cluster} exists and does not know this node yet: run `dspex member add {}`",
                        own.address
                    ),
                    Step::Never(why) => return Err(FormationError::Never { detail: why }),
                };
                if waits != waited_for {
                    told(&waits);
                    waited_for = waits;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            self.name_cluster().await
        })
    }

    /// Whether the log names this node: a vote alone does not make a member.
    async fn is_member(&self) -> Result<bool, FormationError> {
        let raft = self.raft();
        let own = *raft.node_id();
        let metrics = raft.server_metrics();
        let named = metrics.borrow_watched().membership_config.membership().get_node(&own).is_some();
        Ok(named
            && raft.is_initialized().await.map_err(|error| FormationError::Stopped { detail: error.to_string() })?)
    }

    /// Asks everybody, this node included.
    async fn round(&self) -> Result<Step, FormationError> {
        let own = self.own()?;
        let said = own.introduction().await;
        // This node need not ask itself.
        let others = own.formation.join.iter().filter(|address| **address != own.address);
        let asked = others.map(|address| async move { (address, ask(&own.transport, address).await) });
        let (mut found, mut silent) = (Vec::new(), Vec::new());
        for (address, answer) in futures::future::join_all(asked).await {
            match answer {
                Ok(introduction) => found.push(introduction),
                Err(error) => {
                    tracing::debug!(address, %error, "no introduction");
                    silent.push(address.clone());
                }
            }
        }
        Ok(if said.expect == 0 && !found.iter().any(|other| other.formed) {
            Step::Wait("none of the nodes in cluster.join belongs to a cluster yet".to_owned())
        } else {
            next_step(&said, &found, &silent)
        })
    }

    /// Every member stores the id, this one last; then the log begins.
    async fn form_cluster(&self, cluster: Option<String>, members: &BTreeMap<NodeId, String>) -> Result<(), String> {
        let cluster = cluster.unwrap_or_else(|| Uuid::new_v4().to_string());
        let own = self.own().map_err(|error| error.to_string())?;
        let this = NodeId(*self.raft().node_id());
        for (node, address) in members.iter().filter(|(node, _)| **node != this) {
            join(&own.transport, address, &cluster)
                .await
                .map_err(|error| format!("node {node} at {address} has not stored the cluster's id: {error}"))?;
        }
        own.join(&cluster).await.map_err(|error| error.to_string())?;
        self.form(members).await.map_err(|error| error.to_string())?;
        let named = |metrics: &RaftMetrics<Types>| metrics.membership_config.membership().get_node(&this.0).is_some();
        self.raft().wait(Some(ASK_LIMIT)).metrics(named, "the members").await.map_err(|error| error.to_string())?;
        tracing::info!(cluster, members = members.len(), "formed a cluster");
        Ok(())
    }

    /// The log gets the cluster's id. Whoever forms it may end before it could say so.
    async fn name_cluster(&self) -> Result<(), FormationError> {
        let Some(id) = self.own()?.cluster() else { return Ok(()) };
        while self.read_stale(|state| state.cluster().is_none()) {
            match self.propose(Proposal::internal(Command::NameCluster { id: id.clone() })).await {
                Ok(Outcome::Rejected(rejection)) => {
                    return Err(FormationError::Never {
                        detail: format!("the log belongs to another cluster than this directory ({id}): {rejection}"),
                    });
                }
                Ok(_) => return Ok(()),
                Err(ProposeError::Stopped { detail }) => return Err(FormationError::Stopped { detail }),
                // Without a quorum there is nothing to do but to wait for one.
                Err(error) => tracing::debug!(%error, "the cluster has no name in its log yet"),
            }
            tokio::time::sleep(LONGEST_PAUSE).await;
        }
        Ok(())
    }

    /// Takes the node at an address into this cluster, as one that follows. Returns its id.
    ///
    /// # Errors
    /// When it cannot be reached, belongs to another cluster, or the members cannot be changed.
    pub fn admit<'a>(&'a self, address: &'a str, limit: Duration) -> BoxFuture<'a, Result<NodeId, FormationError>> {
        Box::pin(async move {
            let own = self.own()?;
            let unreachable = |error: CallError| FormationError::Unreachable {
                address: address.to_owned(),
                detail: error.to_string(),
            };
            let found = ask(&own.transport, address).await.map_err(unreachable)?;
            let cluster = own
                .cluster()
                .ok_or_else(|| FormationError::Never { detail: "this node belongs to no cluster itself".to_owned() })?;
            if found.formed && found.cluster.as_ref() != Some(&cluster) {
                return Err(FormationError::Never {
                    detail: format!(
                        "the node at {address} belongs to cluster {}: start it with an empty data directory",
                        found.cluster.unwrap_or_default()
                    ),
                });
            }
            join(&own.transport, address, &cluster).await.map_err(unreachable)?;
            let change = crate::MemberChange::Add { node: found.node, address: found.address };
            self.change_members(&change, limit).await?;
            Ok(found.node)
        })
    }
}

pub(crate) async fn ask(transport: &Transport, address: &str) -> Result<Introduction, CallError> {
    let link = transport.stranger(address, Channel::Consensus);
    let reply = link.call(method::INTRODUCE, bytes::Bytes::new(), ASK_LIMIT).await?;
    wire::decode_introduction(&reply).map_err(|error| CallError::Failed(error.to_string()))
}

async fn join(transport: &Transport, address: &str, cluster: &str) -> Result<(), CallError> {
    let link = transport.stranger(address, Channel::Consensus);
    link.call(method::JOIN, wire::encode_join(cluster), ASK_LIMIT).await.map(|_| ())
}
