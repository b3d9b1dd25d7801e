//! What the node that was asked says instead of an answer.

use dspex_model::NodeId;

/// Why a leader, or one who was taken for it, did not do what a peer asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It knows no leader. Nothing was executed.
    NoLeader,
    /// Another one leads. Nothing was executed.
    OtherLeader {
        node: NodeId,
        /// Where its peers reach it.
        address: String,
    },
    /// Too much is under way there. Nothing was executed.
    Busy,
    /// It was begun, and what became of it is not known.
    Unknown(String),
    /// It cannot be done, however often it is asked.
    Refused(String),
    /// Its consensus has stopped; whether it was executed is not known.
    Stopped(String),
}
