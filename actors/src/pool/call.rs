//! A call of a pool, and what may become of it.

use std::time::Duration;

use bytes::Bytes;
use dspex_model::ProgramId;
use dspex_python::protocol::{CallSession, ExampleFailure, SessionChanges};

use super::settings::PoolClass;
use crate::error::SubmitError;

/// The command that executes a program.
pub(crate) const EXECUTE_PROGRAM: &str = "execute_program";

/// A call as its caller gives it.
#[derive(Clone, Debug, Default)]
pub struct CallRequest {
    /// `ping`, `create_program`, `execute_program`, a name that a command module defines, "path.py:name" or "module:name".
    pub command: String,
    /// JSON text; empty: none.
    pub arguments: Bytes,
    /// How long it may wait for a worker.
    pub queue_timeout: Option<Duration>,
    /// How long it may take.
    pub execution_timeout: Option<Duration>,
    /// Executions after a charged death. 0: never again, so an execution that may have begun counts as failed.
    pub retries: Option<u32>,
    /// W3C trace context of the caller.
    pub traceparent: Option<String>,
    /// The session that it is executed in.
    pub session: Option<CallSession>,
    /// A program of the store that its arguments name.
    pub program: Option<CallProgram>,
}

/// What a worker is told when it asks for this name.
#[derive(Clone, Debug)]
pub struct CallProgram {
    /// Which one of the store.
    pub id: ProgramId,
    /// At which version.
    pub version: u64,
    /// Never of two programs, nor of two versions.
    pub name: String,
    /// What it is made of, JSON text.
    pub body: Bytes,
}

/// Where a call was and how long, whether or not it has an answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallTiming {
    /// The last worker that had it; empty: none.
    pub(crate) worker: String,
    /// How long it waited for that.
    pub(crate) queued: Duration,
    /// How long it took there.
    pub(crate) executed: Duration,
}

/// The answer to a call.
#[derive(Clone, Debug)]
pub struct CallReply {
    /// JSON text.
    pub result: Bytes,
    /// The worker that gave it.
    pub worker: String,
    /// How long it waited for a worker.
    pub queued: Duration,
    /// How long it took in the worker.
    pub executed: Duration,
    /// Which execution it was, from 1.
    pub attempt: u32,
    /// What it has changed in its session.
    pub changes: Option<SessionChanges>,
    /// What a program's predictors did, a JSON array; where executions are recorded.
    pub trace: Option<Bytes>,
}

/// Why a call has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// As many wait as may.
    #[error(
        "{queued} calls already wait for the pool {pool}: try again in a moment, raise queue_max, or give it more workers"
    )]
    Full {
        /// The pool's class.
        pool: String,
        /// How many.
        queued: u32,
    },
    /// Other pools of its class have all the processes that the node has for them.
    #[error(
        "all {places} Python processes that the node has for pools of the class {pool} are taken, and none was given back within \
         {} s: try again in a moment, call from fewer directories and environments, or raise processes_max in [pools.{pool}]", .waited.as_secs_f64()
    )]
    ClassFull {
        /// The class.
        pool: PoolClass,
        /// How many there are.
        places: u32,
        /// How long it waited.
        waited: Duration,
    },
    /// No worker was free in time.
    #[error(
        "no worker of the pool {pool} was free within {} s: {busy} of {workers} workers are busy; try again, wait longer \
         (--queue-timeout), or give it more workers", .limit.as_secs_f64()
    )]
    QueueTimeout {
        /// The pool's class.
        pool: String,
        /// How long it waited.
        limit: Duration,
        /// Workers that execute.
        busy: usize,
        /// Workers.
        workers: usize,
    },
    /// The node takes nothing new.
    #[error("{}", crate::draining::REFUSAL)]
    Draining,
    /// An operator has drained every worker.
    #[error("all workers of the pool {pool} are drained: `dspex worker restart {worker}` brings one back")]
    Drained {
        /// The pool's class.
        pool: &'static str,
        /// One of them.
        worker: String,
    },
    /// It took too long; its worker was ended.
    #[error(
        "the call was still running after {} s and was ended with its worker; --timeout gives it longer", .limit.as_secs_f64()
    )]
    TimedOut {
        /// What it had.
        limit: Duration,
    },
    /// Its worker died, and it may not run again.
    #[error("{message}")]
    WorkerLost {
        /// How, and what was tried.
        message: String,
        /// The end of what the worker printed.
        output: String,
    },
    /// The command raised.
    #[error("{}", told(.0))]
    Failed(ExampleFailure),
    /// The pool has no such command.
    #[error("{0}")]
    UnknownCommand(String),
    /// It names something that nobody defined.
    #[error("there is no {0} in this pool, and none is stored: create it first (create_program, `dspex program put`)")]
    NotDefined(String),
    /// They do not fit the signature of a program of the store.
    #[error("the program {program:?} is called {why}")]
    Inputs {
        /// Its name.
        program: String,
        /// All that is wrong.
        why: String,
    },
    /// What a program of the store is made of cannot be had now.
    #[error("the program {program:?} cannot be executed now: {why}")]
    ProgramMissing {
        /// Its name.
        program: String,
        /// Why.
        why: String,
    },
    /// The log could not be read.
    #[error("{0}")]
    Read(std::sync::Arc<dspex_consensus::ReadError>),
    /// As many names as the pool holds.
    #[error("the pool holds {0} definitions, no more: use the same ids again, or restart the node to begin anew")]
    TooManyDefinitions(usize),
    /// As many environments as the node has pools for, and all in use.
    #[error("{0} pools are in use, each with an environment of its own: call from fewer directories or environments")]
    TooManyPools(usize),
    /// The pool's workers cannot be started.
    #[error("{0}")]
    NotStarted(SubmitError),
    /// It does not fit a frame.
    #[error("the arguments take {0} bytes; the limit is 16 MiB: pass a file name, or fewer values")]
    TooLong(usize),
    /// The node or the pool ends.
    #[error("the pool is stopping: try again")]
    Stopping,
}

/// A refusal of the runtime speaks for itself; what the user's code raised is named.
fn told(failure: &ExampleFailure) -> String {
    if failure.traceback.is_none() {
        return failure.message.clone();
    }
    format!("{}: {}", failure.exception, failure.message)
}
