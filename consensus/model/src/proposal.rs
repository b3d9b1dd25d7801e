//! A command on its way into the log.

use serde::{Deserialize, Serialize};

use crate::codec::{self, CodecError};
use crate::{Command, RequestId};

/// Larger values are blobs.
pub const PROPOSAL_BYTES_MAX: usize = 64 * 1024;

const WHAT: &str = "a log entry";
const VERSION: u8 = 1;

/// A command with the time it was proposed at and the request it answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// The proposer's clock in Unix milliseconds; log time never goes back, whatever this says.
    pub stamp_ms: u64,
    /// Set for clients' writes: the same request is executed once.
    pub request: Option<RequestId>,
    /// What to do.
    pub command: Command,
}

impl Proposal {
    /// The bytes of the log entry.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        let bytes = codec::encode(WHAT, VERSION, self)?;
        if bytes.len() > PROPOSAL_BYTES_MAX {
            return Err(CodecError::TooLarge { what: WHAT, bytes: bytes.len(), limit: PROPOSAL_BYTES_MAX });
        }
        Ok(bytes)
    }

    /// The proposal in the bytes of a log entry.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(WHAT, VERSION, bytes)
    }
}
