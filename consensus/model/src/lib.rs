//! What the cluster agrees on: commands go in, state, outcomes and effects come out.
//!
//! Pure by design: no async, no IO, no clock, no randomness. Time and ids arrive inside the proposal, so that every
//! node that applies the same log holds the same state, to the last bit. The flow is
//!
//! ```text
//! Proposal --decode--> State::apply --> Outcome   to the caller
//!                                   --> Effects   hints: who has to act now
//!                                   --> Changes   (key, value) records for the disk; replaying them gives the state
//!                                                 but for those of executions, which only the disk holds
//! ```

mod access;
mod audit;
mod codec;
mod command;
mod definition;
mod digest;
mod echo;
mod effect;
mod execution;
mod executions;
mod following;
mod id;
mod json;
mod member;
mod name;
mod optimization;
mod order;
mod outcome;
mod outline;
mod payload;
mod program;
mod programs;
mod proposal;
mod record;
mod request;
mod run;
mod run_digest;
mod score;
mod secrets;
mod session;
mod session_stats;
mod sessions;
mod shipped;
mod signature;
mod state;
mod tokens;
mod transition;
mod variable;
mod variables;

#[cfg(test)]
mod golden;

pub use access::{Role, Token, TokenId};
pub use audit::{AUDIT_ENTRIES_MAX, AuditEntry};
pub use codec::CodecError;
pub use command::{Command, ExecutedWrite, NewOptimization, NewProgramVersion, NewToken, NewTtl, RunSubmission};
pub use definition::{DEFINITION_BYTES_MAX, DEFINITION_INLINE_BYTES_MAX, DefinitionError, check_definition};
pub use digest::{Digest, ParseDigestError};
pub use echo::quoted;
pub use effect::Effect;
pub use execution::{
    EXECUTION_INLINE_BYTES_MAX, Execution, ExecutionError, ExecutionId, ExecutionStatus, ExecutionValue,
    ParseExecutionIdError, RecordedExecution,
};
pub use executions::{
    COLD_RECORDS, ColdRecords, EXECUTION_RETENTION_MS, EXECUTIONS_BYTES_MAX, EXECUTIONS_MAX, ExecutionPage,
    ExecutionQuery, Order, Visit, execution_blobs, execution_page, find_execution, named_blobs, next_execution,
};
pub use following::{BoardEvent, BoardQuestion, FollowReply, FollowRequest, LineCursor, PrintedLine, TelemetryMessage};
pub use id::{NodeId, ParseRunIdError, RequestId, RunId};
pub use json::{InvalidJson, JSON_DEPTH_MAX, JSON_INTEGER_BYTES_MAX, check_json, check_json_bytes};
pub use member::{ClusterInfo, NodeInfo, NodeLease, NodeRecord};
pub use name::{InvalidName, NAME_BYTES_MAX, Name};
pub use optimization::{
    OPTIMIZATION_BYTES_MAX, OPTIMIZATIONS_MAX, OPTIMIZER_TYPE_BYTES_MAX, Optimization, OptimizationId,
    ParseOptimizationIdError,
};
pub use order::{
    Employment, EndedBy, ExecutedExample, OrderedExample, PEER_MESSAGE_BYTES_MAX, PeerMessage, Presence, RunOrder,
    RunReport, WorkOrder, WorkReport,
};
pub use outcome::{Outcome, Rejection};
pub use outline::Outline;
pub use payload::payload_of;
pub use program::{
    PROGRAM_BYTES_MAX, PROGRAM_NOTE_BYTES_MAX, PROGRAM_VERSIONS_MAX, PROGRAMS_PER_SESSION_MAX,
    PROGRAMS_TOTAL_BYTES_MAX, ParseProgramIdError, Program, ProgramDefinition, ProgramId, ProgramInfo, ProgramKey,
    ProgramStatus, ProgramVersion,
};
pub use proposal::{PROPOSAL_BYTES_MAX, Proposal};
pub use record::Change;
pub use request::REQUEST_WINDOW_MS;
pub use run::RUN_WEIGHT_MAX;
pub use run::{
    Dataset, EXAMPLES_MAX, ExampleResult, FailureReference, RUN_RETENTION_MS, RecordedResult, Run, RunProgress,
    RunSpec, RunStatus, Usage, UsageEntry,
};
pub use run_digest::run_digest;
pub use score::{Score, ScoreKind, SumRule, evaluation_score};
pub use secrets::find_secret;
pub use session::{
    InvalidSessionId, SESSION_BYTES_MAX, SESSION_ID_BYTES_MAX, SESSION_VERSIONS_MAX, SESSIONS_TOTAL_BYTES_MAX, Session,
    SessionChange, SessionData, SessionHome, SessionId, SessionInfo, SessionVersion,
};
pub use session_stats::SessionStats;
pub use shipped::Shipped;
pub use signature::{
    InputsError, SIGNATURE_BYTES_MAX, SIGNATURE_FIELDS_MAX, Signature, SignatureError, SignatureField, TypeNames,
    check_inputs,
};
pub use state::{Applied, State};
pub use transition::EXECUTED_BYTES_MAX;
pub use variable::{
    VARIABLE_BYTES_MAX, VARIABLE_VERSIONS_MAX, VARIABLES_TOTAL_BYTES_MAX, Variable, VariableInfo, VariableVersion,
};
