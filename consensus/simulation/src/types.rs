//! The types that openraft is used with: those of dspex-consensus, over the simulated runtime.

use std::fmt;

use dspex_model::Outcome;
use serde::{Deserialize, Serialize};

/// A proposal as the model encodes it. It is decoded where it is applied.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct EncodedProposal(pub(crate) Vec<u8>);

impl fmt::Debug for EncodedProposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "proposal of {} bytes", self.0.len())
    }
}

impl fmt::Display for EncodedProposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What applying an entry answered; entries without a proposal have no outcome.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Reply(pub(crate) Option<Outcome>);

/// A member as the membership stores it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) address: String,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

openraft::declare_raft_types!(
    pub(crate) Types:
        D = EncodedProposal,
        R = Reply,
        NodeId = u64,
        Node = Member,
        AsyncRuntime = tokio::Simulated,
);

pub(crate) type LogId = openraft::type_config::alias::LogIdOf<Types>;
pub(crate) type LeaderId = openraft::type_config::alias::LeaderIdOf<Types>;
pub(crate) type Vote = openraft::type_config::alias::VoteOf<Types>;
pub(crate) type Entry = openraft::type_config::alias::EntryOf<Types>;
pub(crate) type StoredMembership = openraft::type_config::alias::StoredMembershipOf<Types>;
pub(crate) type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<Types>;
pub(crate) type Raft = openraft::Raft<Types, crate::machine::Machine>;
