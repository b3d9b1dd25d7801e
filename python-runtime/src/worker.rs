//! A worker: one Python process, forked from a zygote, that serves one owner.
//!
//! Its owner sends frames with a [`WorkerHandle`] and reads [`WorkerEvent`]s until [`WorkerEvent::Ended`], which comes exactly once
//! and last, whatever happens first: the zygote reports the end, the socket closes, the worker speaks nonsense, or the zygote dies.
//! A worker that is still there after its socket closed or it spoke nonsense is killed. An owner that drops
//! the events gives the worker up: it is killed.

mod control;
mod fork;
mod supervision;

use std::fmt;

use tokio::sync::mpsc;

pub(crate) use control::Control;
pub use control::{SendError, WorkerHandle};
pub use fork::ForkError;

use crate::output::OutputLine;
use crate::protocol::FromWorker;

/// A worker that has said hello.
#[derive(Debug)]
pub struct WorkerProcess {
    /// Sends to it, kills it.
    pub handle: WorkerHandle,
    /// What it says, then its end. Bounded: a worker whose owner reads slowly waits.
    pub events: mpsc::Receiver<WorkerEvent>,
    /// What it prints, line by line, within a byte budget. Need not be read.
    pub lines: mpsc::Receiver<OutputLine>,
}

/// What happens to a worker.
#[derive(Debug, Clone, PartialEq)]
pub enum WorkerEvent {
    /// It said something.
    Frame(FromWorker),
    /// It has ended. Nothing follows.
    Ended(Ended),
}

/// How a worker ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code, when it exited.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What ended it.
    pub reason: EndReason,
}

/// What ended a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndReason {
    /// It exited, or a signal that was not from here ended it (a crash, the kernel's memory killer, a person).
    Exited,
    /// Its owner killed it or gave it up.
    Killed,
    /// It closed its socket and went on; it was killed.
    ClosedSocket,
    /// It spoke nonsense; it was killed.
    Malformed(String),
    /// Its zygote ended, and it with it.
    ZygoteEnded(String),
    /// It was killed, but its end was never reported: the kernel holds it (a hung disk), or the zygote does not answer.
    Unreported,
    /// It took more than its sandbox allows; it was killed.
    BeyondLimit(String),
}

/// What the filter of a sandbox ends a process with.
const SIGSYS: i32 = 31;

impl fmt::Display for Ended {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            EndReason::Exited => match (self.code, self.signal) {
                (Some(code), _) => write!(formatter, "the worker exited with code {code}"),
                (None, Some(SIGSYS)) => write!(
                    formatter,
                    "the worker was ended by the kernel for a system call of another kind of machine (32-bit or x32), which its \
                     sandbox does not judge"
                ),
                (None, Some(signal)) => write!(formatter, "the worker was ended by signal {signal}"),
                (None, None) => write!(formatter, "the worker ended"),
            },
            EndReason::Killed => write!(formatter, "the worker was killed by its node"),
            EndReason::ClosedSocket => write!(formatter, "the program closed the worker's connection to its node"),
            EndReason::Malformed(problem) => write!(formatter, "the worker broke the protocol: {problem}"),
            EndReason::ZygoteEnded(reason) => write!(formatter, "{reason}"),
            EndReason::BeyondLimit(why) => write!(formatter, "{why}"),
            EndReason::Unreported => write!(formatter, "the worker was killed, but its end was not reported"),
        }
    }
}
