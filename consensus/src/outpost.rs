//! What a node without a vote knows of its cluster: who votes and who leads, asked of the voters again and again. It has no part
//! of the log, so whatever it reads it asks for, and whatever it says goes through the leader.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use dspex_model::NodeId;
use dspex_transport::{CallError, Channel};
use tokio::sync::watch;

use crate::codec::wire;
use crate::following::Leader;
use crate::formation;
use crate::network::method;
use crate::peers::Own;

/// Between two questions, while a leader is known and while none is.
const ASK_EVERY: Duration = Duration::from_secs(1);
const ASK_SOON: Duration = Duration::from_millis(200);
const ASK_LIMIT: Duration = Duration::from_secs(2);

/// The voters, as one of them says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Voters {
    pub(crate) leader: Option<NodeId>,
    pub(crate) addresses: BTreeMap<NodeId, String>,
}

/// A handle to what is known; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Outpost {
    voters: watch::Receiver<Voters>,
}

impl Outpost {
    /// Asks until the handle is dropped.
    pub(crate) fn start(own: Own) -> Self {
        let (told, voters) = watch::channel(Voters::default());
        tokio::spawn(ask_on(own, told));
        Self { voters }
    }

    pub(crate) fn voters(&self) -> Voters {
        self.voters.borrow().clone()
    }

    pub(crate) fn leader(&self) -> Option<Leader> {
        let voters = self.voters.borrow();
        let node = voters.leader?;
        Some(Leader { node, address: voters.addresses.get(&node)?.clone() })
    }

    /// Returns when the node belongs to a cluster that has a leader. `told` hears what is waited for.
    pub(crate) async fn found(&self, mut told: impl FnMut(&str)) {
        let mut voters = self.voters.clone();
        if voters.borrow().leader.is_none() {
            told("no node in cluster.join has said yet who votes");
        }
        // The asking task lives as long as this handle.
        let _ = voters.wait_for(|voters| voters.leader.is_some()).await;
    }
}

async fn ask_on(own: Own, told: watch::Sender<Voters>) {
    while !told.is_closed() {
        let known = told.borrow().clone();
        let heard = match own.cluster() {
            None => join(&own).await,
            Some(_) => ask_all(&own, &known).await,
        };
        match heard {
            // A voter that is cut off knows no leader; what was known before may still lead.
            Some(voters) if voters.leader.is_some() || known.leader.is_none() => {
                told.send_if_modified(|known| {
                    let is_new = *known != voters;
                    *known = voters;
                    is_new
                });
            }
            _ => {}
        }
        let is_led = told.borrow().leader.is_some();
        tokio::time::sleep(if is_led { ASK_EVERY } else { ASK_SOON }).await;
    }
}

/// The first node in `cluster.join` that belongs to a cluster says which. A certificate of its authority has been shown by then.
async fn join(own: &Own) -> Option<Voters> {
    for address in &own.formation.join {
        let Ok(introduction) = formation::ask(&own.transport, address).await else { continue };
        let Some(cluster) = introduction.cluster.filter(|_| introduction.formed) else { continue };
        match own.join(&cluster).await {
            Ok(()) => {
                tracing::info!(cluster, "this node works for a cluster now");
                return None;
            }
            Err(error) => tracing::warn!(%error, "the id of the cluster could not be stored"),
        }
    }
    None
}

/// One after the other, the leader first: it knows best.
async fn ask_all(own: &Own, known: &Voters) -> Option<Voters> {
    let leader = known.leader.and_then(|leader| Some((leader, known.addresses.get(&leader)?)));
    let others = known.addresses.iter().map(|(&node, address)| (node, address));
    let mut first = None;
    for (node, address) in leader.into_iter().chain(others.filter(|(node, _)| Some(*node) != known.leader)) {
        let link = own.transport.link(node.0, address, Channel::Consensus);
        match voters(link.call(method::VOTERS, Bytes::new(), ASK_LIMIT).await) {
            Some(voters) if voters.leader.is_some() => return Some(voters),
            Some(voters) => first = first.or(Some(voters)),
            None => {}
        }
    }
    if first.is_some() {
        return first;
    }
    // All that were known are gone, or none was: the names in the file are asked as at the start.
    for address in &own.formation.join {
        let link = own.transport.stranger(address, Channel::Consensus);
        let found = voters(link.call(method::VOTERS, Bytes::new(), ASK_LIMIT).await);
        if found.is_some() {
            return found;
        }
    }
    None
}

fn voters(reply: Result<Bytes, CallError>) -> Option<Voters> {
    wire::decode_voters(&reply.ok()?).ok()
}
