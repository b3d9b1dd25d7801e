//! What the program sends.

use std::collections::BTreeMap;

use bytes::Bytes;
use dspex_api::{ApiError, Code};
use serde::{Deserialize, Serialize};

use super::{executions, programs, variables};
use crate::error::CommandError;
use crate::exit;

#[derive(Debug, Deserialize)]
pub(super) struct Hello {
    pub protocol: u32,
}

#[derive(Debug, Deserialize)]
pub(super) struct Request {
    pub id: u64,
    #[serde(flatten)]
    pub method: Method,
}

/// A request of which no more is understood.
#[derive(Debug, Deserialize)]
pub(super) struct Named {
    pub id: u64,
    pub method: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Cancel {
    pub id: u64,
}

/// More input of a request that takes some.
#[derive(Debug, Deserialize)]
pub(super) struct Part {
    pub id: u64,
    pub data: Bytes,
    pub end: bool,
}

/// A method with its arguments. One that comes, or takes what it did not take before, raises the version of the frames on both sides.
#[derive(Debug, Deserialize)]
#[serde(tag = "method", content = "body")]
pub(super) enum Method {
    #[serde(rename = "connect")]
    Connect(Connect),
    #[serde(rename = "elsewhere")]
    Elsewhere(Empty),
    #[serde(rename = "strategy.choose")]
    Choose(Box<Choose>),
    #[serde(rename = "blobs.put")]
    PutBlob(Empty),
    #[serde(rename = "bundles.put")]
    PutBundle(PutBundle),
    #[serde(rename = "runs.submit")]
    Submit(Box<Submit>),
    #[serde(rename = "runs.get")]
    GetRun(OfRun),
    #[serde(rename = "runs.cancel")]
    CancelRun(CancelRun),
    #[serde(rename = "runs.watch")]
    Watch(Watch),
    #[serde(rename = "runs.results")]
    Results(Results),
    #[serde(rename = "runs.serve")]
    Serve(OfRun),
    #[serde(rename = "pools.calls")]
    Calls(OpenPool),
    #[serde(rename = "pools.stats")]
    PoolStats(PoolStats),
    #[serde(rename = "sessions")]
    Sessions(super::sessions::Order),
    #[serde(rename = "blobs.get")]
    GetBlob(executions::OfBlob),
    #[serde(rename = "executions.list")]
    ListExecutions(executions::List),
    #[serde(rename = "executions.get")]
    GetExecution(executions::OfExecution),
    #[serde(rename = "executions.clear")]
    ClearExecutions(Empty),
    #[serde(rename = "programs.put")]
    PutProgram(programs::Put),
    #[serde(rename = "programs.get")]
    GetProgram(programs::Get),
    #[serde(rename = "programs.delete")]
    DeleteProgram(programs::Delete),
    #[serde(rename = "programs.list")]
    ListPrograms(programs::List),
    #[serde(rename = "programs.history")]
    ProgramHistory(programs::Key),
    #[serde(rename = "programs.set_status")]
    SetProgramStatus(programs::SetStatus),
    #[serde(rename = "programs.record_optimization")]
    RecordOptimization(programs::Record),
    #[serde(rename = "programs.optimizations")]
    ListOptimizations(programs::Key),
    #[serde(rename = "variables.set")]
    SetVariable(variables::Set),
    #[serde(rename = "variables.get")]
    GetVariable(variables::Get),
    #[serde(rename = "variables.delete")]
    DeleteVariable(variables::Delete),
    #[serde(rename = "variables.list")]
    ListVariables(variables::List),
    #[serde(rename = "variables.history")]
    VariableHistory(variables::History),
}

#[derive(Debug, Deserialize)]
pub(super) struct Empty {}

/// A project that is to be packed and sent.
#[derive(Debug, Deserialize)]
pub(super) struct PutBundle {
    pub root: String,
    /// What the program imports of it, from the root.
    #[serde(default)]
    pub files: Vec<String>,
    /// Variables of the program that are named like secrets, and which of them are none.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
}

/// Which node; what is left out is as the environment has it.
#[derive(Debug, Default, Deserialize)]
pub(super) struct NodeNamed {
    pub address: Option<String>,
    pub token_file: Option<String>,
    pub ca: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Connect {
    #[serde(flatten)]
    pub node: NodeNamed,
    /// The embedded node, whatever is named.
    #[serde(default)]
    pub embedded: bool,
}

/// An evaluation that is to be submitted: where?
#[derive(Debug, Deserialize)]
pub(super) struct Choose {
    #[serde(flatten)]
    pub node: NodeNamed,
    /// An argument that is the business of the node at the address.
    pub bound: Option<String>,
    pub program: String,
    pub metric: String,
    pub lm: String,
    /// Of the rows.
    pub dataset_digest: String,
    pub examples: u32,
    pub num_threads: u32,
}

#[derive(Debug, Deserialize)]
pub(super) struct OfRun {
    pub run_id: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct CancelRun {
    pub run_id: String,
    #[serde(default)]
    pub reason: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Watch {
    pub run_id: String,
    #[serde(default)]
    pub driver: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Results {
    pub run_id: String,
    #[serde(default)]
    pub follow: bool,
    #[serde(default)]
    pub full: bool,
    #[serde(default)]
    pub returned: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Caller {
    pub directory: String,
    pub environment: BTreeMap<String, String>,
    pub interpreter: String,
    #[serde(default)]
    pub interpreter_reason: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Submit {
    pub caller: Caller,
    pub evaluation: Evaluation,
    #[serde(default)]
    pub detach: bool,
    /// W3C trace context of the driver.
    pub traceparent: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Evaluation {
    pub program: String,
    pub metric: String,
    pub file: File,
    pub num_threads: Option<u32>,
    pub workers: Option<u32>,
    pub timeout_ms: Option<u64>,
    pub retries: Option<u32>,
    pub max_errors: Option<u32>,
    pub failure_score: Option<f64>,
    pub shipped: Option<Shipped>,
}

/// Code that was sent along, and the environment that it needs.
#[derive(Debug, Deserialize)]
pub(super) struct Shipped {
    #[serde(default)]
    pub bundle: String,
    #[serde(default)]
    pub directory: String,
    #[serde(default)]
    pub path: Vec<String>,
    #[serde(default)]
    pub environment: String,
    pub python: String,
    pub distributions: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct File {
    pub digest: String,
    pub name: String,
    pub examples: u32,
    #[serde(default)]
    pub envelopes: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct OpenPool {
    pub pool: String,
    pub caller: Caller,
}

#[derive(Debug, Deserialize)]
pub(super) struct PoolStats {
    #[serde(default)]
    pub pool: String,
}

/// A request that failed.
#[derive(Debug, Serialize)]
pub(super) struct Failed {
    id: u64,
    code: &'static str,
    reason: String,
    message: String,
    metadata: BTreeMap<String, String>,
}

/// Why a request failed: the node's word, or this process's own.
#[derive(Debug)]
pub(super) enum Failure {
    Api(ApiError),
    Own(CommandError),
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        Self::Own(error)
    }
}

impl Failed {
    pub(super) fn new(id: u64, failure: &Failure) -> Self {
        match failure {
            Failure::Api(error) => Self {
                id,
                code: code_name(error.code),
                reason: error.reason.to_string(),
                message: error.message.clone(),
                metadata: error.metadata.clone(),
            },
            Failure::Own(error) => Self {
                id,
                code: code_name(own_code(error)),
                reason: error.reason.to_string(),
                message: error.message.clone(),
                metadata: error.hint.iter().map(|hint| ("hint".to_owned(), hint.clone())).collect(),
            },
        }
    }
}

/// What this process refused itself is not to be tried again as it is; a node that is not there may be there later.
fn own_code(error: &CommandError) -> Code {
    match error.exit {
        exit::PERMISSION => Code::Unauthenticated,
        exit::USAGE => Code::InvalidArgument,
        _ if error.reason.is_empty() => Code::InvalidArgument,
        _ => Code::Unavailable,
    }
}

/// gRPC's own name of a code.
pub(super) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use dspex_api::reason;

    use super::*;

    /// The methods of version 3.
    const METHODS: [&str; 31] = [
        "connect",
        "elsewhere",
        "strategy.choose",
        "blobs.put",
        "bundles.put",
        "runs.submit",
        "runs.get",
        "runs.cancel",
        "runs.watch",
        "runs.results",
        "runs.serve",
        "pools.calls",
        "pools.stats",
        "sessions",
        "blobs.get",
        "executions.list",
        "executions.get",
        "executions.clear",
        "programs.put",
        "programs.get",
        "programs.delete",
        "programs.list",
        "programs.history",
        "programs.set_status",
        "programs.record_optimization",
        "programs.optimizations",
        "variables.set",
        "variables.get",
        "variables.delete",
        "variables.list",
        "variables.history",
    ];

    #[test]
    fn a_method_more_or_less_is_another_version_of_the_frames() {
        let source = include_str!("messages.rs");
        let before_tests = source.split("#[cfg(test)]").next().unwrap_or_default();
        let named = before_tests.split("#[serde(rename = \"").skip(1).filter_map(|rest| rest.split('"').next());
        let named: Vec<&str> = named.collect();
        assert_eq!(crate::bridge::PROTOCOL, 3, "of another version the methods stand here anew");
        assert_eq!(
            named, METHODS,
            "raise PROTOCOL in bridge.rs and VERSION in dspex/client/frames.py, then name them here"
        );
    }

    #[test]
    fn a_program_can_tell_what_is_refused_from_what_is_not_there() {
        let code = |reason| own_code(&CommandError::because(reason, "why"));
        assert_eq!(code(reason::TLS_REFUSED), Code::Unauthenticated);
        assert_eq!(code(reason::REQUEST_INVALID), Code::InvalidArgument);
        assert_eq!(code(reason::NODE_UNREACHABLE), Code::Unavailable);
        assert_eq!(own_code(&CommandError::usage("why")), Code::InvalidArgument);
    }
}
