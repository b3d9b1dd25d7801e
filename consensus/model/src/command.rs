//! What can be asked of the log. Variants are appended, never reordered or reused: their position is stored.

use serde::{Deserialize, Serialize};

use crate::{
    Digest, Execution, Name, NodeId, NodeInfo, OptimizationId, ProgramDefinition, ProgramId, ProgramKey, ProgramStatus,
    RecordedResult, Role, RunId, RunSpec, SessionChange, SessionId, Shipped, Signature, TokenId,
};

/// An intent; becomes an entry of the log as part of a [`crate::Proposal`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Lets log time pass while a deadline is pending.
    Tick,
    /// A new run.
    SubmitRun(Box<RunSubmission>),
    /// Results of a run's examples. The first one of the current generation counts.
    RecordResults {
        /// The run.
        run: RunId,
        /// The generation that the work was ordered in.
        generation: u64,
        /// Names of models and kinds of tokens that the results' usage refers to.
        names: Vec<String>,
        /// The results.
        results: Vec<RecordedResult>,
    },
    /// The run cannot have a score.
    FailRun {
        /// The run.
        run: RunId,
        /// The owner's epoch.
        epoch: u64,
        /// What a person should read.
        reason: String,
    },
    /// Stops a run; what it has is kept.
    CancelRun {
        /// The run.
        run: RunId,
        /// What a person should read.
        reason: String,
    },
    /// The node started again: its running runs wait for a resume, or, where their code was sent along, go on.
    InterruptRuns {
        /// The node.
        node: NodeId,
    },
    /// Continues a paused, cancelled or interrupted run.
    ResumeRun {
        /// The run.
        run: RunId,
        /// Its new owner.
        owner: NodeId,
        /// Whether it goes on without its driver from now on.
        detached: bool,
    },
    /// Removes a run that is not running.
    DeleteRun {
        /// The run.
        run: RunId,
    },
    /// Gives the log its cluster's id. The first one stays.
    NameCluster {
        /// The id.
        id: String,
    },
    /// A node says who it is. Each start of a node proposes it.
    AdmitNode {
        /// The node.
        node: NodeId,
        /// What it says.
        info: Box<NodeInfo>,
    },
    /// A node that was removed for good is not shown any more.
    ForgetNode {
        /// The node.
        node: NodeId,
    },
    /// A new token.
    CreateToken(Box<NewToken>),
    /// A token opens nothing any more.
    RevokeToken {
        /// The token.
        token: TokenId,
    },
    /// A new session.
    CreateSession {
        /// Its id.
        session: SessionId,
        /// How long it lives after each write; `None`: until it is deleted.
        ttl_ms: Option<u64>,
        /// Names and JSON texts.
        data: Vec<(String, String)>,
    },
    /// A new version of a session.
    UpdateSession {
        /// The session.
        session: SessionId,
        /// Refused when the session stands elsewhere; `None`: whatever it stands at.
        expected_version: Option<u64>,
        /// What changes.
        change: SessionChange,
        /// Another life from now on.
        ttl_ms: Option<NewTtl>,
    },
    /// Removes a session with its history.
    DeleteSession {
        /// The session.
        session: SessionId,
        /// Refused when the session stands elsewhere.
        expected_version: Option<u64>,
    },
    /// Notes something that was done beside the log.
    Audit {
        /// What was done.
        action: String,
        /// To what.
        subject: String,
    },
    /// A node takes a session's executions over.
    HouseSession {
        /// The session.
        session: SessionId,
        /// Who takes it.
        node: NodeId,
        /// The epoch of the home that is given up, 0 for none; at another one nothing changes.
        expected_epoch: u64,
    },
    /// What an execution at a session's home made of the session, with its result.
    WriteExecuted(Box<ExecutedWrite>),
    /// Executions that have ended. One that was reported before counts once.
    RecordExecutions {
        /// In the order of their numbers.
        executions: Vec<Execution>,
    },
    /// Removes all executions that are kept.
    ClearExecutions,
    /// A program, or its next version.
    PutProgram(Box<NewProgramVersion>),
    /// How far a program is.
    SetProgramStatus {
        /// The program.
        key: ProgramKey,
        /// Refused when the program stands elsewhere.
        expected_version: Option<u64>,
        /// How far.
        status: ProgramStatus,
    },
    /// Removes a program with its history.
    DeleteProgram {
        /// The program.
        key: ProgramKey,
        /// Refused when the program stands elsewhere.
        expected_version: Option<u64>,
    },
    /// What an optimization of a program gave.
    RecordOptimization(Box<NewOptimization>),
    /// A variable of the cluster, or its next version.
    SetVariable {
        /// Its name.
        name: Name,
        /// Refused when the variable stands elsewhere; 0: when there is one.
        expected_version: Option<u64>,
        /// JSON.
        value: String,
    },
    /// Removes a variable with its history.
    DeleteVariable {
        /// Its name.
        name: Name,
        /// Refused when the variable stands elsewhere.
        expected_version: Option<u64>,
    },
    /// A new run whose code was sent along.
    SubmitShippedRun {
        /// The run; without what was shipped, which has no place in its bytes.
        submission: Box<RunSubmission>,
        /// The code.
        shipped: Box<Shipped>,
    },
    /// A run's owner is lost, and another node takes its place.
    AssignRun {
        /// The run.
        run: RunId,
        /// Its new owner.
        owner: NodeId,
        /// Refused when the run has another owner by now.
        expected_epoch: u64,
    },
    /// Executes the failed examples of a run once more, and those that have no result yet.
    RetryRun {
        /// The run.
        run: RunId,
        /// Its new owner.
        owner: NodeId,
        /// Whether it goes on without its driver from now on.
        detached: bool,
    },
    /// Gives no more examples of a run out; what is under way ends and counts.
    PauseRun {
        /// The run.
        run: RunId,
    },
    /// A node without a vote is there, or leaves.
    LeaseNode {
        /// The node.
        node: NodeId,
        /// What it says of itself.
        info: Box<NodeInfo>,
        /// For how long, in milliseconds of log time; 0: it leaves.
        ttl_ms: u64,
    },
    /// How much of the nodes a run is to have beside other runs, as long as it is under way or can go on.
    WeighRun {
        /// The run.
        run: RunId,
        /// From 1 to [`RUN_WEIGHT_MAX`](crate::RUN_WEIGHT_MAX); others are taken for the nearest.
        weight: u32,
    },
    /// A node takes nothing new from now on, or does so again.
    DrainNode {
        /// The node.
        node: NodeId,
        /// `false`: it takes work again.
        drain: bool,
    },
}

impl Command {
    /// Whether a node without a vote may ask for it: what its workers did, and that it is there.
    pub fn is_of_worker(&self) -> bool {
        matches!(self, Self::RecordResults { .. } | Self::RecordExecutions { .. } | Self::LeaseNode { .. })
    }
}

impl From<RunSubmission> for Command {
    /// The command for a new run: which one depends on whether its code was sent along.
    fn from(mut submission: RunSubmission) -> Self {
        match submission.spec.shipped.take() {
            None => Self::SubmitRun(Box::new(submission)),
            Some(shipped) => Self::SubmitShippedRun { submission: Box::new(submission), shipped },
        }
    }
}

/// The outcome of an execution that changed its session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutedWrite {
    /// The session.
    pub session: SessionId,
    /// The home's epoch: refused when another one has taken its place.
    pub epoch: u64,
    /// The version that was executed with: refused when the session stands elsewhere.
    pub version: u64,
    /// What changes.
    pub change: SessionChange,
    /// What the caller is told, kept as long as the request is known; `None`: it is too long for that.
    pub result: Option<Vec<u8>>,
}

/// A program's next version, or its first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewProgramVersion {
    /// Its id if it does not exist yet.
    pub program: ProgramId,
    /// Under what it is found.
    pub key: ProgramKey,
    /// Refused when the program stands elsewhere; 0: when there is one.
    pub expected_version: Option<u64>,
    /// What it is made of, and its signature where that is known; `None`: as before.
    pub definition: Option<(ProgramDefinition, Option<Signature>)>,
    /// What becomes of its variables.
    pub variables: SessionChange,
    /// What its author says of it.
    pub note: String,
}

/// The result of an optimization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewOptimization {
    /// Its id.
    pub id: OptimizationId,
    /// The program.
    pub key: ProgramKey,
    /// The optimizer.
    pub optimizer_type: String,
    /// JSON of what it was given.
    pub parameters: String,
    /// JSON of what was measured.
    pub performance_metrics: String,
    /// Of the training data.
    pub training_data: Option<Digest>,
    /// The version that it made.
    pub program_version: u64,
}

/// How long a session lives from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NewTtl {
    /// Until it is deleted.
    Forever,
    /// So many milliseconds after each write.
    For(u64),
}

/// A new token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewToken {
    /// Its id.
    pub token: TokenId,
    /// Who it is for.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// sha256 of the secret.
    pub secret: Digest,
    /// Milliseconds until it ends.
    pub ttl_ms: Option<u64>,
}

/// A new run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSubmission {
    /// Its id.
    pub run: RunId,
    /// Who plans it.
    pub owner: NodeId,
    /// Whether it goes on without its driver.
    pub detached: bool,
    /// What was asked for.
    pub spec: RunSpec,
}
