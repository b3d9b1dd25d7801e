//! Identities. All of them are made outside (`apply` has no randomness) and arrive as data.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One node, for the life of its data directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One run. A UUIDv7, so that the order of ids is the order of submission.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId(pub u128);

impl RunId {
    /// The id as a UUID.
    pub fn uuid(self) -> Uuid {
        Uuid::from_u128(self.0)
    }
}

impl From<Uuid> for RunId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid.as_u128())
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uuid().fmt(f)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uuid().fmt(f)
    }
}

/// The text is not a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a run id is a UUID like 019a9c3e-7d52-7c11-b0c4-6f0e6d1c2b3a")]
pub struct ParseRunIdError;

impl FromStr for RunId {
    type Err = ParseRunIdError;

    fn from_str(text: &str) -> Result<Self, ParseRunIdError> {
        Uuid::try_parse(text).map(Self::from).map_err(|_| ParseRunIdError)
    }
}

/// Names one write of one client, so that a repeated send is executed once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId {
    /// UUIDv7 of the request; first, so that the order of request ids is their order in time.
    pub request: u128,
    /// UUID of the client.
    pub client: u128,
}

impl RequestId {
    /// When the client made the request, in Unix milliseconds: the first 48 bits of a UUIDv7.
    pub fn made_ms(self) -> u64 {
        (self.request >> 80) as u64
    }
}
