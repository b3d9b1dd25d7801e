//! How the cluster agrees: the only room that knows openraft.
//!
//! [`Consensus`] is a cheap handle: propose a command and get its outcome, read the state, follow what was applied.
//! Below it, openraft decides what is written when; `dspex-storage` keeps the bytes ([`codec`] says what they mean),
//! and `dspex-model` says what a command does.
//!
//! This version has no transport: a node is its own only voter, and every message to a peer fails as unreachable.
//! What it stores is complete, so a directory written now opens unchanged once there are peers.

mod codec;
mod compaction;
mod consensus;
mod effects;
mod error;
mod log;
mod machine;
mod network;
mod options;
mod start;
mod status;
mod types;

pub use consensus::Consensus;
pub use effects::{EffectEvent, Effects};
pub use error::{ProposeError, ReadError, StartError};
pub use options::ConsensusOptions;
pub use status::Status;

#[cfg(test)]
mod tests;
