//! The state as records of a key-value store. Tags are enumerated here and never reused; 0x50 to 0x57 are those of records that
//! stay on the disk (`executions/keys.rs`).

use std::collections::BTreeMap;

use crate::codec::{self, CodecError, damaged};
use crate::executions::{ExecutionSegment, ExecutionsHead};
use crate::{
    AuditEntry, ClusterInfo, ExampleResult, ExecutionId, Name, NodeId, NodeLease, NodeRecord, Optimization, Outcome,
    ProgramId, ProgramInfo, ProgramVersion, RecordedExecution, RequestId, RunId, RunProgress, RunSpec, SessionHome,
    SessionId, SessionInfo, SessionVersion, Shipped, Token, TokenId, VariableInfo, VariableVersion,
};

/// What applying a command does to the records. Keys order as the things they name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A record is written.
    Put {
        /// Its key.
        key: Vec<u8>,
        /// Its new value.
        value: Vec<u8>,
    },
    /// A record is removed.
    Remove {
        /// Its key.
        key: Vec<u8>,
    },
    /// Every record from one key up to another is removed, that one excluded. Only of records that no state holds in memory.
    RemoveRange {
        /// The first key.
        from: Vec<u8>,
        /// The key behind the last.
        to: Vec<u8>,
    },
}

impl Change {
    /// Does to ordered records what it does to those of a disk.
    pub fn carry_out(&self, records: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
        match self {
            Self::Put { key, value } => {
                records.insert(key.clone(), value.clone());
            }
            Self::Remove { key } => {
                records.remove(key);
            }
            Self::RemoveRange { from, to } => records.retain(|key, _| !(from..to).contains(&key)),
        }
    }
}

const TAG_LOG_TIME: u8 = 0x01;
const TAG_CLUSTER: u8 = 0x02;
const TAG_NODE: u8 = 0x03;
const TAG_TOKEN: u8 = 0x04;
const TAG_AUDIT: u8 = 0x05;
const TAG_NODE_LEASE: u8 = 0x06;
const TAG_DRAINING: u8 = 0x07;
const TAG_RUN_SPEC: u8 = 0x10;
const TAG_RUN_PROGRESS: u8 = 0x11;
const TAG_RUN_RESULT: u8 = 0x12;
const TAG_RUN_ATTEMPTS: u8 = 0x13;
const TAG_RUN_WEIGHT: u8 = 0x14;
const TAG_REQUEST: u8 = 0x20;
const TAG_SESSION: u8 = 0x30;
const TAG_SESSION_VERSION: u8 = 0x31;
const TAG_SESSION_HOME: u8 = 0x32;
const TAG_EXECUTED: u8 = 0x33;
const TAG_EXECUTIONS_HEAD: u8 = 0x58;
const TAG_EXECUTION_SEGMENT: u8 = 0x59;
const TAG_RECENT_EXECUTIONS: u8 = 0x5a;
const TAG_PROGRAM: u8 = 0x40;
const TAG_PROGRAM_VERSION: u8 = 0x41;
const TAG_OPTIMIZATION: u8 = 0x42;
const TAG_VARIABLE: u8 = 0x43;
const TAG_VARIABLE_VERSION: u8 = 0x44;

const VERSION: u8 = 1;
/// Of a run's specification, with what was shipped behind it. One without is written as ever.
const VERSION_SHIPPED: u8 = 2;

/// What a record is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    LogTime,
    Cluster,
    Node(NodeId),
    Token(TokenId),
    Audit(u64),
    NodeLease(NodeId),
    Draining(NodeId),
    RunSpec(RunId),
    RunProgress(RunId),
    RunResult(RunId, u32),
    RunAttempts(RunId, u32),
    RunWeight(RunId),
    Request(RequestId),
    Session(SessionId),
    SessionVersion(SessionId, u64),
    SessionHome(SessionId),
    Executed(RequestId),
    ExecutionsHead,
    ExecutionSegment(u64),
    RecentExecutions(u64),
    Program(ProgramId),
    ProgramVersion(ProgramId, u64),
    Optimization(ProgramId, u64),
    Variable(Name),
    VariableVersion(Name, u64),
}

impl Key {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::LogTime => vec![TAG_LOG_TIME],
            Self::Cluster => vec![TAG_CLUSTER],
            Self::Node(node) => joined(TAG_NODE, &[&node.0.to_be_bytes()]),
            Self::Token(token) => joined(TAG_TOKEN, &[&token.0.to_be_bytes()]),
            Self::Audit(number) => joined(TAG_AUDIT, &[&number.to_be_bytes()]),
            Self::NodeLease(node) => joined(TAG_NODE_LEASE, &[&node.0.to_be_bytes()]),
            Self::Draining(node) => joined(TAG_DRAINING, &[&node.0.to_be_bytes()]),
            Self::RunSpec(run) => joined(TAG_RUN_SPEC, &[&run.0.to_be_bytes()]),
            Self::RunProgress(run) => joined(TAG_RUN_PROGRESS, &[&run.0.to_be_bytes()]),
            Self::RunResult(run, index) => joined(TAG_RUN_RESULT, &[&run.0.to_be_bytes(), &index.to_be_bytes()]),
            Self::RunAttempts(run, index) => joined(TAG_RUN_ATTEMPTS, &[&run.0.to_be_bytes(), &index.to_be_bytes()]),
            Self::RunWeight(run) => joined(TAG_RUN_WEIGHT, &[&run.0.to_be_bytes()]),
            Self::Request(id) => joined(TAG_REQUEST, &[&id.request.to_be_bytes(), &id.client.to_be_bytes()]),
            Self::Session(id) => joined(TAG_SESSION, &[id.as_str().as_bytes()]),
            // The id ends with a zero, which it cannot hold: the versions of one session stand together.
            Self::SessionVersion(id, version) => {
                joined(TAG_SESSION_VERSION, &[id.as_str().as_bytes(), &[0], &version.to_be_bytes()])
            }
            Self::SessionHome(id) => joined(TAG_SESSION_HOME, &[id.as_str().as_bytes()]),
            Self::Executed(id) => joined(TAG_EXECUTED, &[&id.request.to_be_bytes(), &id.client.to_be_bytes()]),
            Self::ExecutionsHead => vec![TAG_EXECUTIONS_HEAD],
            Self::ExecutionSegment(first) => joined(TAG_EXECUTION_SEGMENT, &[&first.to_be_bytes()]),
            Self::RecentExecutions(first) => joined(TAG_RECENT_EXECUTIONS, &[&first.to_be_bytes()]),
            Self::Program(id) => joined(TAG_PROGRAM, &[&id.0.to_be_bytes()]),
            Self::ProgramVersion(id, version) => numbered(TAG_PROGRAM_VERSION, *id, *version),
            Self::Optimization(id, number) => numbered(TAG_OPTIMIZATION, *id, *number),
            Self::Variable(name) => joined(TAG_VARIABLE, &[name.as_str().as_bytes()]),
            // As the versions of sessions.
            Self::VariableVersion(name, version) => {
                joined(TAG_VARIABLE_VERSION, &[name.as_str().as_bytes(), &[0], &version.to_be_bytes()])
            }
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let unknown = || damaged("a state record's key", format!("{bytes:02x?}"));
        let (&tag, body) = bytes.split_first().ok_or_else(unknown)?;
        let key = match (tag, body.len()) {
            (TAG_LOG_TIME, 0) => Self::LogTime,
            (TAG_CLUSTER, 0) => Self::Cluster,
            (TAG_NODE, 8) => Self::Node(NodeId(u64_at(body, 0))),
            (TAG_TOKEN, 16) => Self::Token(TokenId(u128_at(body, 0))),
            (TAG_AUDIT, 8) => Self::Audit(u64_at(body, 0)),
            (TAG_NODE_LEASE, 8) => Self::NodeLease(NodeId(u64_at(body, 0))),
            (TAG_DRAINING, 8) => Self::Draining(NodeId(u64_at(body, 0))),
            (TAG_RUN_SPEC, 16) => Self::RunSpec(RunId(u128_at(body, 0))),
            (TAG_RUN_PROGRESS, 16) => Self::RunProgress(RunId(u128_at(body, 0))),
            (TAG_RUN_RESULT, 20) => Self::RunResult(RunId(u128_at(body, 0)), u32_at(body, 16)),
            (TAG_RUN_ATTEMPTS, 20) => Self::RunAttempts(RunId(u128_at(body, 0)), u32_at(body, 16)),
            (TAG_RUN_WEIGHT, 16) => Self::RunWeight(RunId(u128_at(body, 0))),
            (TAG_REQUEST, 32) => Self::Request(RequestId { request: u128_at(body, 0), client: u128_at(body, 16) }),
            (TAG_SESSION, _) => Self::Session(session_id(body).ok_or_else(unknown)?),
            (TAG_SESSION_VERSION, length @ 10..) => {
                let (id, version) = body.split_at(length - 8);
                let id = id.strip_suffix(&[0]).and_then(session_id).ok_or_else(unknown)?;
                Self::SessionVersion(id, u64_at(version, 0))
            }
            (TAG_SESSION_HOME, _) => Self::SessionHome(session_id(body).ok_or_else(unknown)?),
            (TAG_EXECUTED, 32) => Self::Executed(RequestId { request: u128_at(body, 0), client: u128_at(body, 16) }),
            (TAG_EXECUTIONS_HEAD, 0) => Self::ExecutionsHead,
            (TAG_EXECUTION_SEGMENT, 8) => Self::ExecutionSegment(u64_at(body, 0)),
            (TAG_RECENT_EXECUTIONS, 8) => Self::RecentExecutions(u64_at(body, 0)),
            (TAG_PROGRAM, 16) => Self::Program(ProgramId(u128_at(body, 0))),
            (TAG_PROGRAM_VERSION, 24) => Self::ProgramVersion(ProgramId(u128_at(body, 0)), u64_at(body, 16)),
            (TAG_OPTIMIZATION, 24) => Self::Optimization(ProgramId(u128_at(body, 0)), u64_at(body, 16)),
            (TAG_VARIABLE, 1..) => Self::Variable(name(body).ok_or_else(unknown)?),
            (TAG_VARIABLE_VERSION, length @ 10..) => {
                let (text, version) = body.split_at(length - 8);
                let name = text.strip_suffix(&[0]).and_then(name).ok_or_else(unknown)?;
                Self::VariableVersion(name, u64_at(version, 0))
            }
            _ => return Err(unknown()),
        };
        Ok(key)
    }
}

fn session_id(bytes: &[u8]) -> Option<SessionId> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.is_empty()).map(SessionId::stored)
}

fn name(bytes: &[u8]) -> Option<Name> {
    std::str::from_utf8(bytes).ok().map(Name::stored)
}

fn numbered(tag: u8, program: ProgramId, number: u64) -> Vec<u8> {
    joined(tag, &[&program.0.to_be_bytes(), &number.to_be_bytes()])
}

fn u32_at(bytes: &[u8], start: usize) -> u32 {
    bytes[start..start + 4].iter().fold(0, |value, &byte| (value << 8) | u32::from(byte))
}

fn u64_at(bytes: &[u8], start: usize) -> u64 {
    bytes[start..start + 8].iter().fold(0, |value, &byte| (value << 8) | u64::from(byte))
}

fn joined(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![tag];
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

fn u128_at(bytes: &[u8], start: usize) -> u128 {
    bytes[start..start + 16].iter().fold(0, |value, &byte| value << 8 | u128::from(byte))
}

/// A record's value, typed by its key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record {
    LogTime(u64),
    Cluster(ClusterInfo),
    Node(NodeId, NodeRecord),
    Token(TokenId, Token),
    Audit(u64, AuditEntry),
    NodeLease(NodeId, NodeLease),
    /// Since when, in log time, a node takes nothing new.
    Draining(NodeId, u64),
    RunSpec(RunId, Box<RunSpec>),
    RunProgress(RunId, Box<RunProgress>),
    RunResult(RunId, u32, ExampleResult),
    /// How often an example was executed before its result was dropped for a retry.
    RunAttempts(RunId, u32, u32),
    /// How much of the nodes a run is to have beside others, where that is not 1.
    RunWeight(RunId, u32),
    Request(RequestId, Outcome),
    Session(SessionId, SessionInfo),
    SessionVersion(SessionId, u64, SessionVersion),
    SessionHome(SessionId, SessionHome),
    Executed(RequestId, Vec<u8>),
    ExecutionsHead(ExecutionsHead),
    ExecutionSegment(u64, ExecutionSegment),
    RecentExecutions(u64, Vec<ExecutionId>),
    Program(ProgramId, Box<ProgramInfo>),
    ProgramVersion(ProgramId, u64, Box<ProgramVersion>),
    Optimization(ProgramId, u64, Box<Optimization>),
    Variable(Name, VariableInfo),
    VariableVersion(Name, u64, VariableVersion),
}

impl Record {
    pub(crate) fn key(&self) -> Key {
        match self {
            Self::LogTime(_) => Key::LogTime,
            Self::Cluster(_) => Key::Cluster,
            Self::Node(node, _) => Key::Node(*node),
            Self::Token(token, _) => Key::Token(*token),
            Self::Audit(number, _) => Key::Audit(*number),
            Self::NodeLease(node, _) => Key::NodeLease(*node),
            Self::Draining(node, _) => Key::Draining(*node),
            Self::RunSpec(run, _) => Key::RunSpec(*run),
            Self::RunProgress(run, _) => Key::RunProgress(*run),
            Self::RunResult(run, index, _) => Key::RunResult(*run, *index),
            Self::RunAttempts(run, index, _) => Key::RunAttempts(*run, *index),
            Self::RunWeight(run, _) => Key::RunWeight(*run),
            Self::Request(id, _) => Key::Request(*id),
            Self::Session(id, _) => Key::Session(id.clone()),
            Self::SessionVersion(id, version, _) => Key::SessionVersion(id.clone(), *version),
            Self::SessionHome(id, _) => Key::SessionHome(id.clone()),
            Self::Executed(id, _) => Key::Executed(*id),
            Self::ExecutionsHead(_) => Key::ExecutionsHead,
            Self::ExecutionSegment(first, _) => Key::ExecutionSegment(*first),
            Self::RecentExecutions(first, _) => Key::RecentExecutions(*first),
            Self::Program(id, _) => Key::Program(*id),
            Self::ProgramVersion(id, version, _) => Key::ProgramVersion(*id, *version),
            Self::Optimization(id, number, _) => Key::Optimization(*id, *number),
            Self::Variable(name, _) => Key::Variable(name.clone()),
            Self::VariableVersion(name, version, _) => Key::VariableVersion(name.clone(), *version),
        }
    }

    /// The value's bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let encoded = match self {
            Self::LogTime(time) => codec::encode("log time", VERSION, time),
            Self::Cluster(cluster) => codec::encode("the cluster", VERSION, cluster),
            Self::Node(_, node) => codec::encode("a node", VERSION, node),
            Self::Token(_, token) => codec::encode("a token", VERSION, token),
            Self::Audit(_, entry) => codec::encode("an audit entry", VERSION, entry),
            Self::NodeLease(_, lease) => codec::encode("a node's lease", VERSION, lease),
            Self::Draining(_, since_ms) => codec::encode("since when a node drains", VERSION, since_ms),
            Self::RunSpec(_, spec) => encode_spec(spec),
            Self::RunProgress(_, progress) => codec::encode("a run's progress", VERSION, progress),
            Self::RunResult(_, _, result) => codec::encode("a result", VERSION, result),
            Self::RunAttempts(_, _, attempts) => codec::encode("the attempts at an example", VERSION, attempts),
            Self::RunWeight(_, weight) => codec::encode("a run's weight", VERSION, weight),
            Self::Request(_, outcome) => codec::encode("a request's outcome", VERSION, outcome),
            Self::Session(_, info) => codec::encode("a session", VERSION, info),
            Self::SessionVersion(_, _, version) => codec::encode("a session's version", VERSION, version),
            Self::SessionHome(_, home) => codec::encode("a session's home", VERSION, home),
            Self::Executed(_, result) => codec::encode("a request's result", VERSION, result),
            Self::ExecutionsHead(head) => codec::encode("what is known of all executions", VERSION, head),
            Self::ExecutionSegment(_, segment) => codec::encode("a segment of executions", VERSION, segment),
            Self::RecentExecutions(_, ids) => codec::encode("the ids of recent executions", VERSION, ids),
            Self::Program(_, info) => codec::encode("a program", VERSION, info),
            Self::ProgramVersion(_, _, version) => codec::encode("a program's version", VERSION, version),
            Self::Optimization(_, _, optimization) => codec::encode("an optimization", VERSION, optimization),
            Self::Variable(_, info) => codec::encode("a variable", VERSION, info),
            Self::VariableVersion(_, _, version) => codec::encode("a variable's version", VERSION, version),
        };
        encoded.expect("plain data is encoded into memory, which cannot fail")
    }

    pub(crate) fn decode(key: Key, bytes: &[u8]) -> Result<Self, CodecError> {
        Ok(match key {
            Key::LogTime => Self::LogTime(codec::decode("log time", VERSION, bytes)?),
            Key::Cluster => Self::Cluster(codec::decode("the cluster", VERSION, bytes)?),
            Key::Node(node) => Self::Node(node, codec::decode("a node", VERSION, bytes)?),
            Key::Token(token) => Self::Token(token, codec::decode("a token", VERSION, bytes)?),
            Key::Audit(number) => Self::Audit(number, codec::decode("an audit entry", VERSION, bytes)?),
            Key::NodeLease(node) => Self::NodeLease(node, codec::decode("a node's lease", VERSION, bytes)?),
            Key::Draining(node) => Self::Draining(node, codec::decode("since when a node drains", VERSION, bytes)?),
            Key::RunSpec(run) => Self::RunSpec(run, Box::new(decode_spec(bytes)?)),
            Key::RunProgress(run) => Self::RunProgress(run, codec::decode("a run's progress", VERSION, bytes)?),
            Key::RunResult(run, index) => Self::RunResult(run, index, codec::decode("a result", VERSION, bytes)?),
            Key::RunAttempts(run, index) => {
                Self::RunAttempts(run, index, codec::decode("the attempts at an example", VERSION, bytes)?)
            }
            Key::RunWeight(run) => Self::RunWeight(run, codec::decode("a run's weight", VERSION, bytes)?),
            Key::Request(id) => Self::Request(id, codec::decode("a request's outcome", VERSION, bytes)?),
            Key::Session(id) => Self::Session(id, codec::decode("a session", VERSION, bytes)?),
            Key::SessionVersion(id, version) => {
                Self::SessionVersion(id, version, codec::decode("a session's version", VERSION, bytes)?)
            }
            Key::SessionHome(id) => Self::SessionHome(id, codec::decode("a session's home", VERSION, bytes)?),
            Key::Executed(id) => Self::Executed(id, codec::decode("a request's result", VERSION, bytes)?),
            Key::ExecutionsHead => {
                Self::ExecutionsHead(codec::decode("what is known of all executions", VERSION, bytes)?)
            }
            Key::ExecutionSegment(first) => {
                Self::ExecutionSegment(first, codec::decode("a segment of executions", VERSION, bytes)?)
            }
            Key::RecentExecutions(first) => {
                Self::RecentExecutions(first, codec::decode("the ids of recent executions", VERSION, bytes)?)
            }
            Key::Program(id) => Self::Program(id, codec::decode("a program", VERSION, bytes)?),
            Key::ProgramVersion(id, version) => {
                Self::ProgramVersion(id, version, codec::decode("a program's version", VERSION, bytes)?)
            }
            Key::Optimization(id, number) => {
                Self::Optimization(id, number, codec::decode("an optimization", VERSION, bytes)?)
            }
            Key::Variable(name) => Self::Variable(name, codec::decode("a variable", VERSION, bytes)?),
            Key::VariableVersion(name, version) => {
                Self::VariableVersion(name, version, codec::decode("a variable's version", VERSION, bytes)?)
            }
        })
    }

    /// The bytes of an execution, which no state holds.
    pub(crate) fn encode_execution(execution: &RecordedExecution) -> Vec<u8> {
        let encoded = codec::encode("an execution", VERSION, execution);
        encoded.expect("plain data is encoded into memory, which cannot fail")
    }

    pub(crate) fn decode_execution(bytes: &[u8]) -> Result<RecordedExecution, CodecError> {
        codec::decode("an execution", VERSION, bytes)
    }
}

const SPEC: &str = "a run's specification";

fn encode_spec(spec: &RunSpec) -> Result<Vec<u8>, CodecError> {
    match &spec.shipped {
        None => codec::encode(SPEC, VERSION, spec),
        Some(shipped) => codec::encode(SPEC, VERSION_SHIPPED, &(spec, shipped)),
    }
}

fn decode_spec(bytes: &[u8]) -> Result<RunSpec, CodecError> {
    if bytes.first() == Some(&VERSION) {
        return codec::decode(SPEC, VERSION, bytes);
    }
    let (spec, shipped): (RunSpec, Box<Shipped>) = codec::decode(SPEC, VERSION_SHIPPED, bytes)?;
    Ok(RunSpec { shipped: Some(shipped), ..spec })
}
