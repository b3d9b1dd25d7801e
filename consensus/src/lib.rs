//! How the cluster agrees: the only room that knows openraft.
//!
//! [`Consensus`] is a cheap handle: propose a command and get its outcome, read the state, follow what was applied.
//! Below it, openraft decides what is written when; `dspex-storage` keeps the bytes ([`codec`] says what they mean),
//! and `dspex-model` says what a command does.
//!
//! Peers are reached over `dspex-transport` ([`network`]), and served by [`PeerService`]. An embedded node has none: it is
//! its own only voter, and nothing else is different.

mod addresses;
mod attempts;
mod blobs;
mod clock;
mod codec;
mod compaction;
mod consensus;
mod contradiction;
mod effects;
mod error;
mod executions;
mod following;
mod formation;
mod image;
mod leading;
mod log;
mod machine;
mod membership;
mod network;
mod options;
mod outpost;
mod peers;
mod refusal;
mod restoration;
mod rounds;
mod service;
mod settling;
mod start;
mod status;
mod survey;
mod ticks;
mod types;

pub use blobs::BlobError;
pub use consensus::{Consensus, Freshness};
pub use effects::{EffectEvent, Effects};
pub use error::{ExecutionsError, FormationError, ImageError, MemberError, ProposeError, ReadError, StartError};
pub use formation::{Formation, Introduction, Told};
pub use image::{LogPosition, StateImage};
pub use membership::MemberChange;
pub use options::ConsensusOptions;
pub use peers::Peers;
pub use restoration::{RecordStoring, begin_log};
pub use service::PeerService;
pub use status::Status;
pub use survey::MemberStatus;

#[cfg(test)]
mod tests;
