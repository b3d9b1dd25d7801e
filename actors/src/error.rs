//! Why a run was not started. Every message says what to do.

use std::fmt;

use dspex_model::Rejection;
use dspex_python::protocol::{LoadFailed, LoadFailedKind, RefusedKind};
use dspex_python::{ForkError, StartError};

/// The class of a [`SubmitError`]: what a program branches on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubmitErrorKind {
    /// The program, metric, LM, dataset or state cannot be loaded.
    Load(LoadFailedKind),
    /// The interpreter cannot serve.
    Python(RefusedKind),
    /// The interpreter did not come up.
    PythonBroken,
    /// The worker ended while it loaded the program.
    WorkerEnded,
    /// A file dataset has rows without an input, or none at all.
    InputsMissing,
    /// The dataset's blob was not uploaded.
    DatasetNotUploaded,
    /// No run to resume.
    NothingToResume,
    /// The run does not exist.
    RunNotFound,
    /// Too late: the run has ended.
    RunEnded,
    /// Too early: the run is running.
    RunRunning,
    /// The program's files are not those that the run started with.
    SourcesChanged,
    /// A value is out of its range.
    Argument,
    /// Too large for the log.
    TooLarge,
    /// All workers are taken.
    PoolFull,
    /// The log or the disk did not take it.
    Unavailable,
    /// A defect of this program.
    Internal,
}

/// Why a run was not started.
#[derive(Clone, Debug)]
pub struct SubmitError {
    /// Its class.
    pub kind: SubmitErrorKind,
    /// For a person.
    pub message: String,
    /// The user's own frames, where user code raised.
    pub traceback: Option<String>,
    /// The user's file.
    pub file: Option<String>,
    /// Its line.
    pub line: Option<u64>,
}

impl SubmitError {
    pub(crate) fn new(kind: SubmitErrorKind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string(), traceback: None, file: None, line: None }
    }
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SubmitError {}

impl From<LoadFailed> for SubmitError {
    fn from(failed: LoadFailed) -> Self {
        let LoadFailed { kind, message, traceback, file, line } = failed;
        Self { kind: SubmitErrorKind::Load(kind), message, traceback, file, line }
    }
}

impl From<StartError> for SubmitError {
    fn from(error: StartError) -> Self {
        let kind = match &error {
            StartError::Refused { kind, .. } => SubmitErrorKind::Python(*kind),
            StartError::Failed { .. } | StartError::TimedOut { .. } => SubmitErrorKind::PythonBroken,
            StartError::TooMany(_) => SubmitErrorKind::PoolFull,
        };
        Self::new(kind, error)
    }
}

impl From<ForkError> for SubmitError {
    fn from(error: ForkError) -> Self {
        Self::new(SubmitErrorKind::WorkerEnded, error)
    }
}

impl From<Rejection> for SubmitError {
    fn from(rejection: Rejection) -> Self {
        let kind = match rejection {
            Rejection::RunNotFound(_) => SubmitErrorKind::RunNotFound,
            Rejection::RunNotRunning(_) | Rejection::RunNotResumable(_) => SubmitErrorKind::RunEnded,
            Rejection::RunRunning => SubmitErrorKind::RunRunning,
            Rejection::RequestTooOld => SubmitErrorKind::Argument,
            _ => SubmitErrorKind::Internal,
        };
        Self::new(kind, rejection)
    }
}
