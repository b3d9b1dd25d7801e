//! A command on its way into the log.

use serde::{Deserialize, Serialize};

use crate::codec::{self, CodecError};
use crate::{Command, RequestId};

/// Larger values are blobs.
pub const PROPOSAL_BYTES_MAX: usize = 64 * 1024;

const WHAT: &str = "a log entry";
/// Version 1 had no actor.
const VERSION: u8 = 2;
const WITHOUT_ACTOR: u8 = 1;

/// A command with the time it was proposed at, the request it answers and the one who asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// The proposing leader's clock in Unix milliseconds; log time never goes back, whatever this says.
    pub stamp_ms: u64,
    /// Set for clients' writes: the same request is executed once.
    pub request: Option<RequestId>,
    /// Who asked, for the audit trail; `None`: the cluster itself.
    pub actor: Option<String>,
    /// What to do.
    pub command: Command,
}

/// As the first version wrote it.
#[derive(Deserialize)]
struct ProposalWithoutActor {
    stamp_ms: u64,
    request: Option<RequestId>,
    command: Command,
}

impl Proposal {
    /// What the cluster itself has to do. The leader stamps it.
    pub fn internal(command: Command) -> Self {
        Self { stamp_ms: 0, request: None, actor: None, command }
    }

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
        if bytes.first() == Some(&WITHOUT_ACTOR) {
            let ProposalWithoutActor { stamp_ms, request, command } = codec::decode(WHAT, WITHOUT_ACTOR, bytes)?;
            return Ok(Self { stamp_ms, request, actor: None, command });
        }
        codec::decode(WHAT, VERSION, bytes)
    }
}
