//! A worker as people see it.

use std::time::Instant;

use dspex_model::RunId;

use crate::pool::PoolClass;

/// A worker as people see it.
#[derive(Clone, Debug)]
pub struct WorkerView {
    /// Its id.
    pub worker: String,
    /// Its process; 0 before there is one.
    pub pid: u32,
    /// What it serves.
    pub service: WorkerService,
    /// What it does.
    pub state: WorkerState,
    /// Examples or calls it was given and has not reported.
    pub in_flight: usize,
    /// Examples or calls it has reported.
    pub completed: u64,
    /// What it executes may run again.
    pub may_repeat: bool,
    /// When it was asked for.
    pub since: Instant,
    /// Its limit of memory, in bytes.
    pub memory_limit: Option<u64>,
}

/// What a worker serves: never more than one of these in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerService {
    /// A run.
    Run(RunId),
    /// The anonymous calls of a pool.
    Pool(PoolClass),
}

/// What a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerState {
    /// Waits for capacity, a zygote or its fork.
    Starting,
    /// Imports the program.
    Loading,
    /// Idle.
    Ready,
    /// Executes.
    Busy,
    /// Gets nothing more, and ends when it has finished what it has.
    Draining,
}
