//! Who may do what: tokens and their roles. The state holds digests of secrets, never a secret.

use serde::{Deserialize, Serialize};

use crate::Digest;

/// What a token allows. Each role may do what the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Looks at everything, changes nothing, executes nothing.
    Reader,
    /// Submits code: runs, calls, sessions.
    Runner,
    /// Changes the cluster itself: members, tokens, snapshots.
    Admin,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::Reader, Self::Runner, Self::Admin];

    /// The word for people and scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Runner => "runner",
            Self::Admin => "admin",
        }
    }
}

/// Names a token; no secret. A UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TokenId(pub u128);

/// A token as the cluster knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Who it is for; shown in lists and in the audit trail.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// sha256 of the secret.
    pub secret: Digest,
    /// Log time of its creation.
    pub created_ms: u64,
    /// Log time at which it ends.
    pub expires_ms: Option<u64>,
    /// Log time of its revocation.
    pub revoked_ms: Option<u64>,
}

impl Token {
    /// Whether it opens anything at this log time.
    pub fn is_valid(&self, now_ms: u64) -> bool {
        self.revoked_ms.is_none() && self.expires_ms.is_none_or(|expires| now_ms < expires)
    }
}
