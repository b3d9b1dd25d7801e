//! Frames between a node and a worker.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::calls::{Answer, Ask, Calls, Define, Replies, Returned, Serve, Serving};
use super::framing::{self, FrameError};
use super::load::{Load, LoadFailed, Loaded};

/// Node -> worker.
#[derive(Debug, Clone, PartialEq)]
pub enum ToWorker {
    /// Load a program. The first frame, exactly once.
    Load(Box<Load>),
    /// Execute examples, first come first served.
    Execute(Execute),
    /// Finish nothing more, exit 0.
    Stop,
    /// Answer with the same payload.
    Ping(Ping),
    /// The driver's answer to a question.
    Answer(Answer),
    /// Serve a pool's calls. The first frame, exactly once, in place of `Load`.
    Serve(Serve),
    /// Execute calls.
    Calls(Calls),
    /// Know a name, or forget it.
    Define(Define),
    /// Give back the calls that were not started.
    Recall,
    /// Execute so many examples at once from now on.
    Threads(Threads),
}

/// How many examples are executed at once. A worker that was loaded with one thread keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Threads {
    /// At least 1.
    pub count: u32,
}

/// Examples to execute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execute {
    /// In the order in which they are to be started.
    pub examples: Vec<Example>,
}

impl Serialize for Execute {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Wire<'a> {
            examples: &'a [Example],
            // Most often there are none: they are beside the examples, where they cost nothing then.
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            traces: BTreeMap<u64, &'a str>,
        }
        let examples = &self.examples;
        let traced = examples.iter().filter_map(|one| Some((one.index, one.traceparent.as_deref()?)));
        Wire { examples, traces: traced.collect() }.serialize(serializer)
    }
}

/// One example, on the wire an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Its place in the dataset.
    pub index: u64,
    /// Which execution of it this is: it comes back with the result.
    pub attempt: u32,
    /// A row, see `PROTOCOL.md`.
    pub row: Bytes,
    /// W3C trace context, where spans are exported.
    pub traceparent: Option<String>,
}

impl Serialize for Example {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.index, self.attempt, &self.row).serialize(serializer)
    }
}

/// A question whether the worker answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ping {
    /// Anything.
    pub payload: Bytes,
}

#[derive(Serialize)]
struct Empty {}

impl ToWorker {
    /// The frame's bytes, length included.
    pub fn encode(&self) -> Result<Bytes, FrameError> {
        match self {
            Self::Load(body) => framing::encode(1, body),
            Self::Execute(body) => framing::encode(2, body),
            Self::Stop => framing::encode(3, &Empty {}),
            Self::Ping(body) => framing::encode(4, body),
            Self::Answer(body) => framing::encode(5, body),
            Self::Serve(body) => framing::encode(6, body),
            Self::Calls(body) => framing::encode(7, body),
            Self::Define(body) => framing::encode(8, body),
            Self::Recall => framing::encode(9, &Empty {}),
            Self::Threads(body) => framing::encode(10, body),
        }
    }
}

/// Worker -> node.
#[derive(Debug, Clone, PartialEq)]
pub enum FromWorker {
    /// The first frame, once.
    Hello(Hello),
    /// The program is loaded.
    Loaded(Loaded),
    /// It is not.
    LoadFailed(LoadFailed),
    /// Rows of a Python dataset, before `Loaded`.
    Rows(Rows),
    /// Examples that have finished.
    Results(Results),
    /// The run cannot have a score.
    Fatal(Fatal),
    /// The answer to a ping.
    Pong(Pong),
    /// A question to the driver.
    Ask(Ask),
    /// It serves a pool's calls.
    Serving(Serving),
    /// Calls that are done.
    Replies(Replies),
    /// Calls that it gives back.
    Returned(Returned),
}

/// A worker's introduction.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Hello {
    /// Its protocol version.
    pub protocol: u32,
    /// The id it was given.
    pub worker: String,
    /// Its process id.
    pub pid: u32,
    /// What of its sandbox it has applied, in this order.
    #[serde(default)]
    pub applied: Vec<String>,
    /// Its descriptor on which the node answers for the kernel.
    #[serde(default)]
    pub listener: Option<i32>,
}

/// Rows of a Python dataset.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Rows {
    /// In the dataset's order.
    pub rows: Vec<Bytes>,
}

/// Whatever has finished since the last frame.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Results {
    /// In the order in which they finished.
    pub results: Vec<ExampleResult>,
}

/// What became of one example; on the wire an array of exactly these, in this order.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ExampleResult {
    /// As ordered.
    pub index: u64,
    /// As ordered.
    pub attempt: u32,
    /// The metric's, or the failure score.
    pub score: f64,
    /// What the score is in Python.
    pub score_kind: ScoreKind,
    /// Canonical JSON; `None` for a failed example.
    pub prediction: Option<Bytes>,
    /// The digest's form where it differs from `prediction`.
    pub canonical: Option<Bytes>,
    /// What was raised.
    pub failure: Option<ExampleFailure>,
    /// Sums by model and key.
    pub usage: Option<BTreeMap<String, BTreeMap<String, i64>>>,
    /// Known costs; `None` when the price of any call is unknown.
    pub cost_usd: Option<f64>,
    /// How long it took in the worker.
    pub duration_us: u64,
    /// For the driver of a run whose program came as a payload, and opened by it only.
    #[serde(default)]
    pub returned: Option<Bytes>,
}

/// What a score is in Python: it decides how scores are summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum ScoreKind {
    /// An int.
    Integral,
    /// A float.
    Float,
    /// An object that sums through `__radd__`: dspy.Prediction, numpy.
    Object,
    /// A bool, which sums as an int.
    Boolean,
}

impl TryFrom<u8> for ScoreKind {
    type Error = String;

    fn try_from(value: u8) -> Result<Self, String> {
        match value {
            0 => Ok(Self::Integral),
            1 => Ok(Self::Float),
            2 => Ok(Self::Object),
            3 => Ok(Self::Boolean),
            other => Err(format!("unknown score kind {other}")),
        }
    }
}

impl From<ScoreKind> for u8 {
    fn from(kind: ScoreKind) -> Self {
        match kind {
            ScoreKind::Integral => 0,
            ScoreKind::Float => 1,
            ScoreKind::Object => 2,
            ScoreKind::Boolean => 3,
        }
    }
}

/// What a program or metric raised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExampleFailure {
    /// The qualified class of the exception.
    #[serde(rename = "type")]
    pub exception: String,
    /// Its text, at most 4 KiB.
    pub message: String,
    /// The user's frames, at most 16 KiB.
    pub traceback: Option<String>,
    /// The innermost frame of the user's own code, else the innermost.
    pub file: Option<String>,
    /// Its line.
    pub line: Option<u64>,
}

/// A reason for which the run cannot have a score.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Fatal {
    /// Says what to do.
    pub message: String,
    /// The example, where one shows it.
    pub index: Option<u64>,
}

/// The answer to a ping.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Pong {
    /// The ping's.
    pub payload: Bytes,
}

impl FromWorker {
    /// Decodes a frame (without its length).
    pub fn decode(frame: &[u8]) -> Result<Self, FrameError> {
        let (kind, body) = framing::split(frame)?;
        Ok(match kind {
            16 => Self::Hello(framing::body(body)?),
            17 => Self::Loaded(framing::body(body)?),
            18 => Self::LoadFailed(framing::body(body)?),
            19 => Self::Rows(framing::body(body)?),
            20 => Self::Results(framing::body(body)?),
            21 => Self::Fatal(framing::body(body)?),
            22 => Self::Pong(framing::body(body)?),
            23 => Self::Ask(framing::body(body)?),
            24 => Self::Serving(framing::body(body)?),
            25 => Self::Replies(framing::body(body)?),
            26 => Self::Returned(framing::body(body)?),
            other => return Err(FrameError::UnknownKind(other)),
        })
    }
}
