//! Why a run was not started. Every message says what to do.

use std::{fmt, io};

use dspex_consensus::{BlobError, ProposeError};
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
    /// The machine gave no Python process, or not in time: the program is not at fault.
    PythonUnavailable,
    /// A worker was to be sandboxed, and is not.
    SandboxUnavailable,
    /// The worker ended while it loaded the program.
    WorkerEnded,
    /// A file dataset has rows without an input, or none at all.
    InputsMissing,
    /// The payload's blob was not uploaded.
    PayloadMissing,
    /// The dataset's blob was not uploaded.
    DatasetNotUploaded,
    /// The project's blob was not uploaded.
    BundleMissing,
    /// The project's blob is no bundle, or holds what none may hold.
    BundleInvalid,
    /// This node has no environment of that name.
    EnvironmentNotFound,
    /// No environment of this node has what the program needs.
    EnvironmentMismatch,
    /// No run to resume.
    NothingToResume,
    /// The run does not exist.
    RunNotFound,
    /// Too late: the run has ended.
    RunEnded,
    /// Too early: the run is running.
    RunRunning,
    /// No example of the run has failed: there is nothing to retry.
    NothingFailed,
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
    /// The disk is full.
    StorageFull,
    /// The log has too much to do, has no leader, or gave no answer: again in a moment.
    TimedOut,
    /// The node takes nothing new.
    Draining,
    /// The node is stopping.
    Stopping,
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
            StartError::Failed { .. } => SubmitErrorKind::PythonBroken,
            StartError::TimedOut { .. } => SubmitErrorKind::PythonUnavailable,
            StartError::NotOurs(_) => SubmitErrorKind::Argument,
            StartError::Stopping => SubmitErrorKind::Stopping,
            StartError::TooMany(_) => SubmitErrorKind::PoolFull,
        };
        Self::new(kind, error)
    }
}

impl From<ForkError> for SubmitError {
    fn from(error: ForkError) -> Self {
        let kind = match &error {
            ForkError::Refused(_) | ForkError::ZygoteEnded(_) | ForkError::NoHello { .. } | ForkError::Io(_) => {
                SubmitErrorKind::PythonUnavailable
            }
            ForkError::NotConfined(_) => SubmitErrorKind::SandboxUnavailable,
            ForkError::Directory(_) => SubmitErrorKind::Argument,
            ForkError::Taken(_) | ForkError::Version(_) => SubmitErrorKind::Internal,
        };
        Self::new(kind, error)
    }
}

impl From<ProposeError> for SubmitError {
    fn from(error: ProposeError) -> Self {
        let kind = match &error {
            ProposeError::Encode(_) => SubmitErrorKind::TooLarge,
            ProposeError::Stopped { .. } if error.is_storage_full() => SubmitErrorKind::StorageFull,
            ProposeError::Stopped { .. } => SubmitErrorKind::Stopping,
            _ => SubmitErrorKind::TimedOut,
        };
        Self::new(kind, error)
    }
}

impl From<BlobError> for SubmitError {
    fn from(error: BlobError) -> Self {
        let kind = match &error {
            BlobError::NotSpread { .. } | BlobError::NotFound { .. } => SubmitErrorKind::TimedOut,
            _ => SubmitErrorKind::Unavailable,
        };
        Self::new(kind, error)
    }
}

impl From<io::Error> for SubmitError {
    fn from(error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => SubmitErrorKind::StorageFull,
            _ => SubmitErrorKind::Unavailable,
        };
        Self::new(kind, error)
    }
}

impl From<Rejection> for SubmitError {
    fn from(rejection: Rejection) -> Self {
        let kind = match rejection {
            Rejection::RunNotFound(_) => SubmitErrorKind::RunNotFound,
            Rejection::RunNotRunning(_) | Rejection::RunNotResumable(_) => SubmitErrorKind::RunEnded,
            Rejection::NothingFailed => SubmitErrorKind::NothingFailed,
            Rejection::RunRunning => SubmitErrorKind::RunRunning,
            Rejection::RequestTooOld => SubmitErrorKind::Argument,
            Rejection::TooManyExamples { .. } => SubmitErrorKind::TooLarge,
            _ => SubmitErrorKind::Internal,
        };
        Self::new(kind, rejection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(error: impl Into<SubmitError>) -> SubmitErrorKind {
        error.into().kind
    }

    #[test]
    fn the_program_is_not_blamed_for_the_machine() {
        for error in [
            ForkError::Refused("no answer within 10 s".to_owned()),
            ForkError::ZygoteEnded("killed".to_owned()),
            ForkError::NoHello { message: "it ended".to_owned(), output: String::new() },
            ForkError::Io(io::ErrorKind::WouldBlock.into()),
        ] {
            let text = error.to_string();
            assert_eq!(kind(error), SubmitErrorKind::PythonUnavailable, "{text}");
        }
        let limit = std::time::Duration::from_secs(60);
        let late = StartError::TimedOut { interpreter: "python".to_owned(), limit, output: String::new() };
        assert_eq!(kind(late), SubmitErrorKind::PythonUnavailable);
        assert_eq!(kind(StartError::Stopping), SubmitErrorKind::Stopping);
    }

    #[test]
    fn a_worker_out_of_its_sandbox_is_not_a_busy_machine() {
        assert_eq!(kind(ForkError::NotConfined(String::new())), SubmitErrorKind::SandboxUnavailable);
        assert_eq!(kind(StartError::NotOurs(String::new())), SubmitErrorKind::Argument);
    }

    #[test]
    fn a_busy_or_stopping_node_is_not_a_broken_disk() {
        let stopped = |detail: &str| ProposeError::Stopped { detail: detail.to_owned() };
        assert_eq!(kind(ProposeError::Busy), SubmitErrorKind::TimedOut);
        assert_eq!(kind(ProposeError::NoLeader), SubmitErrorKind::TimedOut);
        assert_eq!(kind(stopped("raft stopped")), SubmitErrorKind::Stopping);
        assert_eq!(kind(stopped("No space left on device (os error 28)")), SubmitErrorKind::StorageFull);
        assert_eq!(kind(io::Error::from(io::ErrorKind::StorageFull)), SubmitErrorKind::StorageFull);
        assert_eq!(kind(io::Error::other("bad sector")), SubmitErrorKind::Unavailable);
    }
}
