//! Frames between a node and a zygote.

use bytes::Bytes;
use dspex_sandbox::Order;
use serde::{Deserialize, Serialize};

use super::framing::{self, FrameError};
use crate::environment::Environment;

/// Node -> zygote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToZygote {
    /// Make a worker. The worker's socket and the write end of its output pipe travel with the frame's first byte.
    Fork(Box<Fork>),
    /// SIGKILL to the worker's process group, while it is still ours.
    Kill(Kill),
    /// Kill all workers' groups, reap, exit 0.
    Stop,
}

/// A worker to be forked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fork {
    /// The worker's id.
    pub worker: String,
    /// The whole environment of the worker.
    pub environment: Environment,
    /// Its working directory.
    pub directory: String,
    /// What it applies to itself before anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<Order>,
    /// This side's version, [`PROTOCOL_VERSION`](super::PROTOCOL_VERSION): a fork is the first frame that a zygote sees.
    pub protocol: u32,
}

/// A worker to be killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kill {
    /// The worker's id.
    pub worker: String,
}

#[derive(Serialize)]
struct Empty {}

impl ToZygote {
    /// The frame's bytes, length included.
    pub fn encode(&self) -> Result<Bytes, FrameError> {
        match self {
            Self::Fork(body) => framing::encode(1, &**body),
            Self::Kill(body) => framing::encode(2, body),
            Self::Stop => framing::encode(3, &Empty {}),
        }
    }
}

/// Zygote -> node.
#[derive(Debug, Clone, PartialEq)]
pub enum FromZygote {
    /// dspy is imported; forks may begin. The first frame, once.
    Ready(Ready),
    /// This interpreter cannot serve; the zygote exits with 3.
    Refused(Refused),
    /// A worker exists.
    Forked(Forked),
    /// A worker has ended and was reaped.
    Exited(Exited),
    /// A worker could not be made.
    ForkFailed(ForkFailed),
}

/// What a zygote is, once it has imported dspy.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Ready {
    /// Its protocol version.
    pub protocol: u32,
    /// Its process id.
    pub pid: u32,
    /// Python's version, "3.11.7".
    pub python: String,
    /// `sys.executable`.
    pub executable: String,
    /// dspy's version.
    pub dspy: String,
    /// How this Python sums floats: it decides the last digit of a score.
    pub sum_rule: SumRule,
    /// How long the import of dspy took.
    pub import_seconds: f64,
    /// Where it, its libraries and its modules lie: real paths.
    #[serde(default)]
    pub paths: Vec<String>,
}

/// How `sum()` adds floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SumRule {
    /// One after the other (before Python 3.12).
    Plain,
    /// With compensation (from Python 3.12 on).
    Compensated,
}

/// Why an interpreter cannot serve.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Refused {
    /// The class of reason.
    pub kind: RefusedKind,
    /// Says what to do.
    pub message: String,
}

/// Classes of reasons for which an interpreter cannot serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusedKind {
    /// The two ends speak different versions.
    Protocol,
    /// Too old or too new a Python.
    PythonUnsupported,
    /// dspy is not installed.
    DspyMissing,
    /// A version of dspy that DSPex does not know.
    DspyUnsupported,
    /// cloudpickle or msgspec is not installed.
    DependencyMissing,
    /// `import dspy` raised.
    DspyBroken,
    /// The import left threads behind: a fork would not be safe.
    Threads,
}

/// A new worker.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Forked {
    /// Its id.
    pub worker: String,
    /// Its process id, and its group's.
    pub pid: u32,
    /// Its start: field 22 of `/proc/PID/stat`.
    pub start_ticks: u64,
}

/// A worker that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Exited {
    /// Its id.
    pub worker: String,
    /// The process id it had.
    pub pid: u32,
    /// Its exit code, when it exited.
    pub code: Option<i32>,
    /// The signal, when one ended it.
    pub signal: Option<i32>,
}

/// A fork that did not happen.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ForkFailed {
    /// The worker's id.
    pub worker: String,
    /// Why.
    pub message: String,
}

impl FromZygote {
    /// Decodes a frame (without its length).
    pub fn decode(frame: &[u8]) -> Result<Self, FrameError> {
        let (kind, body) = framing::split(frame)?;
        Ok(match kind {
            16 => Self::Ready(framing::body(body)?),
            17 => Self::Refused(framing::body(body)?),
            18 => Self::Forked(framing::body(body)?),
            19 => Self::Exited(framing::body(body)?),
            20 => Self::ForkFailed(framing::body(body)?),
            other => return Err(FrameError::UnknownKind(other)),
        })
    }
}
