//! What owners and hosts want to be done: they decide, `world` does it.

use dspex_model::{NodeId, RecordedResult, RunStatus, WorkOrder, WorkReport};

use super::plan::{Assignment, WorkerKey};

/// Whose worker a process is, on its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hands {
    /// Of the run's owner itself, under this epoch.
    Own { epoch: u64, key: WorkerKey },
    /// Of another owner.
    Hosted { part: Part, key: WorkerKey },
}

/// A run under one of its owners, as a host knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    pub(super) owner: NodeId,
    pub(super) epoch: u64,
}

/// Names a process, ever.
pub(super) type ProcessId = u64;

/// Who has a result recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Teller {
    Owner { epoch: u64 },
    Host(Part),
}

/// A result on its way to the log.
#[derive(Debug, Clone)]
pub(super) struct Recording {
    pub(super) generation: u64,
    pub(super) result: RecordedResult,
    pub(super) teller: Teller,
}

/// What became of results that were handed to the recorder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recorded {
    pub(super) results: usize,
    pub(super) status: RunStatus,
}

/// What a process says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    Ready,
    Executed { held: Assignment, duration_us: u64 },
    Ended,
}

/// Something that is to be done at a node.
#[derive(Debug)]
pub(super) enum Act {
    /// To the owner's hosts.
    Order { node: NodeId, epoch: u64, what: WorkOrder },
    /// To an owner.
    Report { part: Part, what: WorkReport },
    /// Starts a process of this name.
    Launch { process: ProcessId, threads: usize, hands: Hands },
    /// Gives it examples.
    Execute { process: ProcessId, examples: Vec<Assignment> },
    /// Kills it; it says so, unless nobody is to hear it any more.
    Kill { process: ProcessId, says: bool },
    /// Hands results to the recorder.
    Record(Vec<Recording>),
    /// Another worker, if one is wanted.
    Spawn { epoch: u64 },
}
