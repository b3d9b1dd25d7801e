//! An execution of a program or a command that has ended: what was given, what came out, and how it went.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Digest, NodeId, SessionId};

/// Bytes of an input or output that stand in the record itself; larger ones are blobs.
pub const EXECUTION_INLINE_BYTES_MAX: usize = 4 * 1024;

/// One execution: a UUID, made by the node that executes. The same one is recorded once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ExecutionId(pub u128);

impl From<Uuid> for ExecutionId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid.as_u128())
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_u128(self.0).fmt(f)
    }
}

impl fmt::Debug for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_u128(self.0).fmt(f)
    }
}

/// The text is not a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an execution's id is a UUID like 019a9c3e-7d52-7c11-b0c4-6f0e6d1c2b3a")]
pub struct ParseExecutionIdError;

impl FromStr for ExecutionId {
    type Err = ParseExecutionIdError;

    fn from_str(text: &str) -> Result<Self, ParseExecutionIdError> {
        Uuid::try_parse(text).map(Self::from).map_err(|_| ParseExecutionIdError)
    }
}

/// How an execution has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ExecutionStatus {
    /// It has an output.
    Succeeded,
    /// It raised.
    Failed,
    /// It took too long, and was ended.
    TimedOut,
    /// Its worker died.
    Lost,
    /// Its caller gave it up.
    Cancelled,
}

impl ExecutionStatus {
    /// All of them, in the order of [`place`](Self::place).
    pub const ALL: [Self; 5] = [Self::Succeeded, Self::Failed, Self::TimedOut, Self::Lost, Self::Cancelled];

    /// Its name for people and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Lost => "lost",
            Self::Cancelled => "cancelled",
        }
    }

    /// Its place among all of them.
    pub(crate) fn place(self) -> usize {
        match self {
            Self::Succeeded => 0,
            Self::Failed => 1,
            Self::TimedOut => 2,
            Self::Lost => 3,
            Self::Cancelled => 4,
        }
    }

    /// The byte that stands for it in keys.
    pub(crate) fn byte(self) -> u8 {
        match self {
            Self::Succeeded => 1,
            Self::Failed => 2,
            Self::TimedOut => 3,
            Self::Lost => 4,
            Self::Cancelled => 5,
        }
    }
}

/// An input or an output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExecutionValue {
    /// JSON of at most [`EXECUTION_INLINE_BYTES_MAX`].
    Inline(String),
    /// JSON that is a blob.
    Blob {
        /// Which.
        digest: Digest,
        /// Its length.
        bytes: u64,
    },
}

impl ExecutionValue {
    fn blob(&self) -> Option<Digest> {
        match self {
            Self::Inline(_) => None,
            Self::Blob { digest, .. } => Some(*digest),
        }
    }
}

/// Why an execution has no output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionError {
    /// Qualified exception class, `WorkerLost`, `TimedOut` or `Cancelled`.
    pub class: String,
    /// What a person should read.
    pub message: String,
}

/// An execution as the node reports it that it was on. That its texts are short is that node's business: a command holds
/// them all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Execution {
    /// Its id.
    pub id: ExecutionId,
    /// The program's key; the command's name where no program was executed.
    pub program: String,
    /// The program's own id, where it has one.
    pub program_id: Option<u128>,
    /// The program's version, where it has one.
    pub program_version: Option<u64>,
    /// The session that it belongs to.
    pub session: Option<SessionId>,
    /// How it ended.
    pub status: ExecutionStatus,
    /// What was given.
    pub input: ExecutionValue,
    /// What came out.
    pub output: Option<ExecutionValue>,
    /// What happened on the way.
    pub trace: Option<ExecutionValue>,
    /// What was measured, a JSON object; empty: nothing.
    pub metrics: String,
    /// Why it has no output.
    pub error: Option<ExecutionError>,
    /// Microseconds of execution.
    pub duration_us: u64,
    /// Microseconds that it waited before.
    pub queued_us: u64,
    /// The node that it was on.
    pub node: NodeId,
    /// The worker; empty: none had it yet.
    pub worker: String,
    /// Who asked for it: the name of a token, or of the local user.
    pub actor: Option<String>,
    /// Of the caller's W3C trace context.
    pub trace_id: Option<u128>,
}

impl Execution {
    /// Every blob that it refers to.
    pub fn blobs(&self) -> impl Iterator<Item = Digest> + use<> {
        let values = [Some(&self.input), self.output.as_ref(), self.trace.as_ref()];
        values.map(|value| value.and_then(ExecutionValue::blob)).into_iter().flatten()
    }
}

/// An execution as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedExecution {
    /// Log time at which it was recorded.
    pub created_ms: u64,
    /// The execution.
    pub execution: Execution,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_have_places_and_bytes_of_their_own() {
        for (place, status) in ExecutionStatus::ALL.into_iter().enumerate() {
            assert_eq!((status.place(), usize::from(status.byte())), (place, place + 1), "{}", status.name());
        }
    }

    #[test]
    fn an_id_is_read_back_from_its_text() {
        let id = ExecutionId(0x019a_9c3e_7d52_7c11_b0c4_6f0e_6d1c_2b3a);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("nothing".parse::<ExecutionId>(), Err(ParseExecutionIdError));
    }
}
