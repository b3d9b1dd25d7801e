//! Frames of a worker that serves a pool's calls.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::worker::ExampleFailure;

/// What a pool's worker serves. The first frame of such a worker, exactly once, in place of `load`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Serve {
    /// This side's version, [`PROTOCOL_VERSION`](super::PROTOCOL_VERSION).
    pub protocol: u32,
    /// The class of the pool.
    pub pool: String,
    /// Calls in execution at once.
    pub threads: u32,
    /// Modules that define commands: "module" or "path.py".
    pub commands: Vec<String>,
    /// What answers where a program names no LM: a model string, "path.py:name" or "module:name".
    pub lm: Option<String>,
    /// Whether what predictors did is wanted beside the results of programs: executions are recorded.
    pub traces: bool,
}

/// The worker serves.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Serving {
    /// The commands that have a name of their own.
    pub commands: Vec<String>,
}

/// Calls to execute, first come first served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Calls {
    /// In the order in which they are to be started.
    pub calls: Vec<Call>,
}

/// One call, on the wire an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Chosen by the pool; comes back with the reply.
    pub id: u64,
    /// `ping`, `create_program`, `execute_program`, a name that a command module defines, "path.py:name" or "module:name".
    pub command: String,
    /// JSON text; empty: without arguments.
    pub arguments: Bytes,
    /// W3C trace context, where the caller has one.
    pub traceparent: Option<String>,
    /// The session that it is executed in.
    pub session: Option<CallSession>,
}

impl Serialize for Call {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.id, &self.command, &self.arguments, &self.traceparent, &self.session).serialize(serializer)
    }
}

/// A session as the code of a call finds it; on the wire an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallSession {
    /// Its id.
    pub id: String,
    /// The version of its data.
    pub version: u64,
    /// Its data, a JSON object.
    pub data: Bytes,
}

impl Serialize for CallSession {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.id, self.version, &self.data).serialize(serializer)
    }
}

/// Something that all workers of a pool know under a name: a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Define {
    /// Its name.
    pub name: String,
    /// What the worker that defined it said; `None`: there is none.
    pub body: Option<Bytes>,
}

/// Calls that are done.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Replies {
    /// In the order in which they finished.
    pub replies: Vec<Reply>,
}

/// What became of a call; on the wire an array in this order, the outcome as status and body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// As ordered.
    pub id: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// How long it took in the worker.
    pub duration_us: u64,
    /// The CPU time of a call that never waited for anything but a CPU.
    pub cpu_us: Option<u64>,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The result, JSON text.
    Done(Bytes),
    /// It raised.
    Failed(ExampleFailure),
    /// It was not executed: the worker needs to be told the definition of this name first.
    Needs(String),
    /// The result, and something that the other workers are to know.
    Defined {
        /// JSON text.
        result: Bytes,
        /// The name.
        name: String,
        /// What stands behind it.
        body: Bytes,
    },
    /// The result, and what the call has changed in its session.
    Changed {
        /// JSON text.
        result: Bytes,
        /// What changed.
        changes: SessionChanges,
    },
    /// The result of a program, and what its predictors did.
    Traced {
        /// JSON text.
        result: Bytes,
        /// A JSON array.
        trace: Bytes,
        /// What changed in the call's session, if anything.
        changes: Option<SessionChanges>,
    },
}

/// What a call has changed in its session's data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionChanges {
    /// Names and JSON texts that came, or took the place of others.
    pub set: Vec<(String, String)>,
    /// Names that went.
    pub removed: Vec<String>,
}

impl<'de> Deserialize<'de> for Reply {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let (id, status, body, duration_us, cpu_us): (u64, u8, Bytes, u64, Option<u64>) =
            Deserialize::deserialize(deserializer)?;
        let outcome = match status {
            0 => Outcome::Done(body),
            1 => Outcome::Failed(rmp_serde::from_slice(&body).map_err(Error::custom)?),
            2 => Outcome::Needs(String::from_utf8(body.into()).map_err(Error::custom)?),
            3 => {
                let (result, name, body) = rmp_serde::from_slice(&body).map_err(Error::custom)?;
                Outcome::Defined { result, name, body }
            }
            4 => {
                let (result, set, removed) = rmp_serde::from_slice(&body).map_err(Error::custom)?;
                Outcome::Changed { result, changes: SessionChanges { set, removed } }
            }
            5 => {
                let (result, trace, changes): (_, _, Option<_>) =
                    rmp_serde::from_slice(&body).map_err(Error::custom)?;
                let changes = changes.map(|(set, removed)| SessionChanges { set, removed });
                Outcome::Traced { result, trace, changes }
            }
            other => return Err(Error::custom(format!("unknown status of a call: {other}"))),
        };
        Ok(Self { id, outcome, duration_us, cpu_us })
    }
}

/// Calls that were taken back before they were started.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Returned {
    /// Their ids.
    pub calls: Vec<u64>,
}

/// A question of user code to whoever drives the run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Ask {
    /// Comes back with the reply.
    pub id: u64,
    /// The example that asks.
    pub index: u64,
    /// Opened by the driver only.
    pub body: Bytes,
}

/// The driver's answer to an [`Ask`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// As asked.
    pub id: u64,
    /// Opened by the worker only.
    pub body: Option<Bytes>,
    /// Why there is no answer.
    pub error: Option<String>,
}
