//! What `apply` answers. Replicated like the state: at most 256 bytes, kept for repeated requests.

use serde::{Deserialize, Serialize};

use crate::codec::{self, CodecError};
use crate::{NodeId, ProgramId, RunId, RunStatus, SessionHome};

const WHAT: &str = "an outcome";
const VERSION: u8 = 1;

/// The answer to a proposal. A refusal is an outcome too: every node comes to the same one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Done; nothing to tell.
    Done,
    /// The run exists now.
    RunSubmitted {
        /// Its id.
        run: RunId,
        /// Fences its owner's orders.
        epoch: u64,
    },
    /// The run goes on.
    RunResumed {
        /// Fences its owner's orders.
        epoch: u64,
        /// Fences its results.
        generation: u64,
    },
    /// Results were taken.
    ResultsRecorded {
        /// How many counted.
        recorded: u32,
        /// How many came too late.
        duplicates: u32,
        /// Where the run stands now.
        status: RunStatus,
    },
    /// Refused.
    Rejected(Rejection),
    /// A session has a new version.
    SessionWritten {
        /// Its number.
        version: u64,
        /// The log time at which it is gone, unless it is written again.
        expires_ms: Option<u64>,
    },
    /// Where a session is executed for, whether or not this command has changed it.
    SessionHoused(SessionHome),
    /// Executions were recorded.
    ExecutionsRecorded {
        /// The number of the first one; the others follow it.
        first: u64,
        /// How many counted.
        recorded: u32,
        /// How many had been recorded before.
        duplicates: u32,
    },
    /// A program has a new version, or another status.
    ProgramWritten {
        /// Its id.
        program: ProgramId,
        /// The number of its newest version.
        version: u64,
    },
    /// The result of an optimization was taken.
    OptimizationRecorded {
        /// Its number among those of its program, from 1.
        number: u64,
    },
    /// A variable has a new version.
    VariableWritten {
        /// Its number.
        version: u64,
    },
}

/// Why a command was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Rejection {
    /// No such run.
    #[error("run {0} does not exist")]
    RunNotFound(RunId),
    /// The id is taken.
    #[error("run {0} exists already")]
    RunExists(RunId),
    /// It needs a running run.
    #[error("the run is {}, not running", .0.name())]
    RunNotRunning(RunStatus),
    /// Only paused, cancelled and interrupted runs can be resumed.
    #[error("the run is {}: only a paused, cancelled or interrupted run can be resumed", .0.name())]
    RunNotResumable(RunStatus),
    /// A running run cannot be deleted.
    #[error("the run is running: cancel it first")]
    RunRunning,
    /// The results belong to work ordered before a cancel.
    #[error("the results are of an older generation; the run is at {current}")]
    StaleGeneration {
        /// The run's generation.
        current: u64,
    },
    /// The order comes from a former owner.
    #[error("the order is of an older epoch; the run is at {current}")]
    StaleEpoch {
        /// The run's epoch.
        current: u64,
    },
    /// A result for an example that the run does not have.
    #[error("example {index} does not exist, the run has {examples}")]
    NoSuchExample {
        /// The position asked for.
        index: u32,
        /// How many there are.
        examples: u32,
    },
    /// A request id from before the window; whether it was executed cannot be said any more.
    #[error("the request is older than 15 minutes: look at the state, then send it under a new id")]
    RequestTooOld,
    /// No such session, or its time was over.
    #[error("the session does not exist; it may have expired")]
    SessionNotFound,
    /// The id is taken.
    #[error("the session exists already, at version {version}")]
    SessionExists {
        /// Where it stands.
        version: u64,
    },
    /// Somebody else has written.
    #[error("the session is at version {current} by now: read it again, then repeat the change")]
    VersionConflict {
        /// Where it stands.
        current: u64,
    },
    /// Too much for the replicated state.
    #[error("the session would hold {bytes} bytes, the limit is {limit}: keep large values in blobs")]
    SessionTooLarge {
        /// What it would hold.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The id or the secret is taken.
    #[error("the token exists already")]
    TokenExists,
    /// No such token.
    #[error("the token does not exist")]
    TokenNotFound,
    /// No such node.
    #[error("node {} is not known to the cluster", .0.0)]
    NodeNotFound(NodeId),
    /// The log belongs to a cluster that has another id.
    #[error("the log belongs to another cluster")]
    OtherCluster,
    /// More examples than a run may have.
    #[error("the run would have {examples} examples, the limit is {limit}: evaluate it in parts")]
    TooManyExamples {
        /// What it would have.
        examples: u32,
        /// The limit.
        limit: u32,
    },
    /// All sessions together hold as much as they may.
    #[error(
        "the sessions hold {bytes} bytes in all their versions, the limit is {limit}: delete some, or give them a TTL"
    )]
    SessionsFull {
        /// What they would hold.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// Another node executes for the session.
    #[error("the session has moved to node {} (epoch {})", .0.node.0, .0.epoch)]
    SessionMoved(SessionHome),
    /// No such program, or its session's time was over.
    #[error("the program does not exist")]
    ProgramNotFound,
    /// Somebody else has written.
    #[error("the program is at version {current} by now: read it again, then repeat the change")]
    ProgramConflict {
        /// Where it stands.
        current: u64,
    },
    /// The id is another program's.
    #[error("the id of the new program is taken: send the write under another request id")]
    ProgramIdTaken,
    /// Too much for the replicated state.
    #[error("the program would hold {bytes} bytes beside its blobs, the limit is {limit}: keep large values in blobs")]
    ProgramTooLarge {
        /// What it would hold.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// All programs together hold as much as they may.
    #[error("the programs hold {bytes} bytes in all their versions, the limit is {limit}: delete some")]
    ProgramsFull {
        /// What they would hold.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A session has as many programs as it may.
    #[error("the session has {limit} programs already: delete some, or store them for all sessions")]
    TooManyPrograms {
        /// The limit.
        limit: u64,
    },
    /// The program never had this version.
    #[error("the program is at version {current}: it has no version {version}")]
    ProgramVersionNotFound {
        /// Which was named.
        version: u64,
        /// Where it stands.
        current: u64,
    },
    /// The id is taken.
    #[error("an optimization of this id is recorded already")]
    OptimizationExists,
    /// Too much for the replicated state.
    #[error(
        "the optimization's parameters and metrics take {bytes} bytes, the limit is {limit}: keep large values in blobs"
    )]
    OptimizationTooLarge {
        /// What it would hold.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// No such variable.
    #[error("the variable does not exist")]
    VariableNotFound,
    /// Somebody else has written.
    #[error("the variable is at version {current} by now: read it again, then repeat the change")]
    VariableConflict {
        /// Where it stands.
        current: u64,
    },
    /// Too much for the replicated state.
    #[error("the variable would hold {bytes} bytes, the limit is {limit}: keep large values in blobs")]
    VariableTooLarge {
        /// What it would hold.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// All variables together hold as much as they may.
    #[error("the variables hold {bytes} bytes in all their versions, the limit is {limit}: delete some")]
    VariablesFull {
        /// What they would hold.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A run without a failed example has nothing to retry.
    #[error("no example of the run has failed: a run that is not complete goes on with `dspex run resume`")]
    NothingFailed,
    /// Nobody would be left to take work.
    #[error(
        "node {} is the only one that takes work: add another one, or let one that drains take work again \
         (`dspex member drain NODE --undo`)",
        .0.0
    )]
    OnlyNode(NodeId),
}

impl Outcome {
    /// Its stored bytes.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode(WHAT, VERSION, self)
    }

    /// The outcome in stored bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(WHAT, VERSION, bytes)
    }
}
