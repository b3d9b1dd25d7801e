//! Blobs among the nodes: on a majority of the voters before the log names them, and on every member soon after.
//!
//! A blob is no part of the log or of its snapshots. Who proposes something that names one [spreads](Consensus::spread) it
//! first; every member [keeps](keeper) what the state refers to by fetching what it lacks, and a learner becomes a voter only
//! when it lacks nothing.

mod asking;
mod fetch;
mod incoming;
pub(crate) mod keeper;
mod serve;
mod spread;

use std::time::Duration;

use dspex_model::{Digest, NodeId};
use dspex_transport::{Channel, Link};
use openraft::async_runtime::WatchReceiver;

use crate::consensus::Consensus;
use crate::membership::is_voter;

pub(crate) use self::incoming::Incoming;
pub(crate) use self::serve::{is_about, serve};

/// Bytes of a piece: a chunk of the store. A frame of the bulk channel has room for one and its header.
pub(crate) const PIECE_BYTES: usize = 1024 * 1024;

/// For one piece or question: longer than a slow disk's sync.
const STEP_LIMIT: Duration = Duration::from_secs(30);

/// How long a blob that came from a peer is kept for the proposal that will name it: longer than it may take to spread it, with
/// the proposal after that.
pub(crate) const KEEP: Duration = Duration::from_secs(180);

/// Why a blob is not where it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// Too few voters have it.
    #[error(
        "{have} of {voters} voters have stored what the log is to name, and {needed} are needed; try again when more voters \
         answer ({detail})"
    )]
    NotSpread {
        /// Voters that have all of it, this node included.
        have: usize,
        /// Voters there are.
        voters: usize,
        /// A majority.
        needed: usize,
        /// What was heard of the others.
        detail: String,
    },
    /// No node that answers has it.
    #[error("no node that answers has the blob {digest}; try again when more nodes answer ({detail})")]
    NotFound {
        /// Which.
        digest: Digest,
        /// What was heard.
        detail: String,
    },
    /// This node's own store failed.
    #[error("the blobs of this node cannot be read or written: {detail}")]
    Storage {
        /// How.
        detail: String,
    },
}

impl BlobError {
    fn storage(error: impl std::fmt::Display) -> Self {
        Self::Storage { detail: error.to_string() }
    }
}

/// Another member, and how blobs go there.
pub(crate) struct Holder {
    node: NodeId,
    is_voter: bool,
    link: Link,
}

impl Consensus {
    /// The other members; of a node that is none, the voters.
    fn holders(&self) -> Vec<Holder> {
        if let Some(outpost) = self.outpost() {
            let voters = outpost.voters().addresses.into_iter();
            let holder = |(node, address): (NodeId, String)| {
                let link = self.network().link(node.0, &address, Channel::Bulk)?;
                Some(Holder { node, is_voter: true, link })
            };
            return voters.filter_map(holder).collect();
        }
        let raft = self.raft();
        let membership = raft.server_metrics().borrow_watched().membership_config.membership().clone();
        let own = *raft.node_id();
        let others = membership.nodes().filter(|(node, _)| **node != own);
        let holders = others.filter_map(|(&node, member)| {
            let link = self.network().link(node, &member.address, Channel::Bulk)?;
            Some(Holder { node: NodeId(node), is_voter: is_voter(raft, node), link })
        });
        holders.collect()
    }
}
