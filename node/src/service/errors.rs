//! From the rooms' errors to the contract's.

use std::io;

use dspex_actors::{SubmitError, SubmitErrorKind};
use dspex_api::key;
use dspex_api::{ApiError, Code, reason};
use dspex_consensus::{BlobError, MemberError, ProposeError, ReadError};
use dspex_model::Rejection;
use dspex_python::protocol::{LoadFailedKind, RefusedKind};
use tonic::Status;

/// A defect of this program; the log has the details.
pub(super) fn internal(error: impl std::fmt::Display) -> Status {
    tracing::error!(%error, "a call failed");
    ApiError::internal(error.to_string()).into()
}

/// The disk.
pub(super) fn storage(error: &io::Error) -> Status {
    let (code, reason) = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (Code::ResourceExhausted, reason::STORAGE_FULL),
        _ => (Code::Internal, reason::STORAGE_FAILED),
    };
    ApiError::new(code, reason, format!("the node's storage: {error}")).into()
}

/// A write that the log did not take.
pub(super) fn propose(error: &ProposeError) -> ApiError {
    let (code, reason) = match error {
        ProposeError::Encode(_) => (Code::ResourceExhausted, reason::TOO_LARGE),
        ProposeError::Busy => (Code::Unavailable, reason::NODE_TIMED_OUT),
        ProposeError::NoLeader => (Code::Unavailable, reason::NO_LEADER),
        ProposeError::Unknown { .. } => (Code::Unavailable, reason::OUTCOME_UNKNOWN),
        ProposeError::Stopped { .. } if error.is_storage_full() => (Code::ResourceExhausted, reason::STORAGE_FULL),
        ProposeError::Stopped { .. } => (Code::Unavailable, reason::NODE_STOPPING),
        _ => (Code::InvalidArgument, reason::REQUEST_INVALID),
    };
    ApiError::new(code, reason, error.to_string())
}

/// A read that nobody could confirm.
pub(super) fn read(error: &ReadError) -> ApiError {
    // Whether a stale read would do is for those to say who know what it is for.
    let (reason, message) = match error {
        ReadError::Busy => (reason::NODE_TIMED_OUT, error.to_string()),
        ReadError::Behind { index } => {
            (reason::NODE_BEHIND, format!("this node is behind: it has not applied entry {index} in time"))
        }
        ReadError::Stopped { .. } => (reason::NODE_STOPPING, error.to_string()),
        _ => (reason::NO_LEADER, "no leader confirmed the read within the time limit".to_owned()),
    };
    ApiError::unavailable(reason, message)
}

/// A blob that is not where it should be.
pub(super) fn blob(error: &BlobError) -> ApiError {
    let (code, reason) = match error {
        BlobError::NotSpread { .. } => (Code::Unavailable, reason::NO_LEADER),
        BlobError::NotFound { .. } => (Code::Unavailable, reason::BLOB_NOT_FOUND),
        _ => (Code::Internal, reason::STORAGE_FAILED),
    };
    ApiError::new(code, reason, error.to_string())
}

/// A change of the members that was not made.
pub(super) fn member(error: &MemberError) -> ApiError {
    let (code, reason) = match error {
        MemberError::Refused { .. } => (Code::FailedPrecondition, reason::MEMBER_CHANGE_REFUSED),
        MemberError::Unknown { .. } => (Code::Unavailable, reason::OUTCOME_UNKNOWN),
        _ => (Code::Unavailable, reason::NO_LEADER),
    };
    ApiError::new(code, reason, error.to_string())
}

/// What the log refused.
pub(super) fn rejection(rejection: &Rejection) -> ApiError {
    let (code, reason) = match rejection {
        Rejection::SessionNotFound => (Code::NotFound, reason::SESSION_NOT_FOUND),
        Rejection::SessionExists { .. } => (Code::AlreadyExists, reason::SESSION_EXISTS),
        Rejection::VersionConflict { .. } | Rejection::ProgramConflict { .. } | Rejection::VariableConflict { .. } => {
            (Code::Aborted, reason::VERSION_CONFLICT)
        }
        Rejection::SessionMoved(_) => (Code::Aborted, reason::SESSION_MOVED),
        Rejection::SessionTooLarge { .. }
        | Rejection::SessionsFull { .. }
        | Rejection::TooManyExamples { .. }
        | Rejection::ProgramTooLarge { .. }
        | Rejection::ProgramsFull { .. }
        | Rejection::TooManyPrograms { .. }
        | Rejection::OptimizationTooLarge { .. }
        | Rejection::VariableTooLarge { .. }
        | Rejection::VariablesFull { .. } => (Code::ResourceExhausted, reason::TOO_LARGE),
        Rejection::ProgramNotFound => (Code::NotFound, reason::PROGRAM_UNKNOWN),
        Rejection::ProgramVersionNotFound { .. } => (Code::NotFound, reason::PROGRAM_VERSION_NOT_FOUND),
        Rejection::VariableNotFound => (Code::NotFound, reason::VARIABLE_NOT_FOUND),
        Rejection::RequestTooOld => (Code::FailedPrecondition, reason::REQUEST_TOO_OLD),
        Rejection::TokenNotFound => (Code::NotFound, reason::TOKEN_NOT_FOUND),
        Rejection::NodeNotFound(_) => (Code::NotFound, reason::MEMBER_NOT_FOUND),
        Rejection::OnlyNode(_) => (Code::FailedPrecondition, reason::MEMBER_CHANGE_REFUSED),
        Rejection::TokenExists | Rejection::OtherCluster => (Code::FailedPrecondition, reason::REQUEST_INVALID),
        // Runs have a way of their own: see `SubmitErrorKind`.
        Rejection::RunNotFound(_) => (Code::NotFound, reason::RUN_NOT_FOUND),
        _ => (Code::FailedPrecondition, reason::REQUEST_INVALID),
    };
    let current = match rejection {
        Rejection::SessionExists { version } => version.to_string(),
        Rejection::VersionConflict { current }
        | Rejection::ProgramConflict { current }
        | Rejection::VariableConflict { current } => current.to_string(),
        _ => String::new(),
    };
    ApiError::new(code, reason, rejection.to_string()).with(key::CURRENT, current)
}

/// A submission that was refused.
pub(super) fn submit(error: SubmitError) -> Status {
    refusal(error).into()
}

pub(super) fn refusal(error: SubmitError) -> ApiError {
    let (code, reason) = class(error.kind);
    let line = error.line.map(|line| line.to_string()).unwrap_or_default();
    ApiError::new(code, reason, error.message)
        .with(key::TRACEBACK, error.traceback.unwrap_or_default())
        .with(key::FILE, error.file.unwrap_or_default())
        .with(key::LINE, line)
        .with(key::HINT, hint(error.kind))
}

fn class(kind: SubmitErrorKind) -> (Code, &'static str) {
    match kind {
        SubmitErrorKind::Load(kind) => (Code::InvalidArgument, load(kind)),
        SubmitErrorKind::Python(kind) => (Code::InvalidArgument, python(kind)),
        SubmitErrorKind::PythonBroken => (Code::InvalidArgument, reason::DSPY_BROKEN),
        SubmitErrorKind::PythonUnavailable => (Code::Unavailable, reason::PYTHON_UNAVAILABLE),
        SubmitErrorKind::SandboxUnavailable => (Code::FailedPrecondition, reason::SANDBOX_UNAVAILABLE),
        SubmitErrorKind::WorkerEnded => (Code::InvalidArgument, reason::PROGRAM_RAISED),
        SubmitErrorKind::InputsMissing => (Code::InvalidArgument, reason::INPUTS_MISSING),
        SubmitErrorKind::PayloadMissing => (Code::NotFound, reason::PAYLOAD_MISSING),
        SubmitErrorKind::DatasetNotUploaded => (Code::NotFound, reason::BLOB_NOT_FOUND),
        SubmitErrorKind::BundleMissing => (Code::NotFound, reason::BUNDLE_MISSING),
        SubmitErrorKind::BundleInvalid => (Code::InvalidArgument, reason::BUNDLE_INVALID),
        SubmitErrorKind::EnvironmentNotFound => (Code::NotFound, reason::ENVIRONMENT_NOT_FOUND),
        SubmitErrorKind::EnvironmentMismatch => (Code::FailedPrecondition, reason::ENVIRONMENT_MISMATCH),
        SubmitErrorKind::NothingToResume => (Code::NotFound, reason::NO_RUN_TO_RESUME),
        SubmitErrorKind::RunNotFound => (Code::NotFound, reason::RUN_NOT_FOUND),
        SubmitErrorKind::RunEnded => (Code::FailedPrecondition, reason::RUN_ENDED),
        SubmitErrorKind::NothingFailed => (Code::FailedPrecondition, reason::NOTHING_FAILED),
        SubmitErrorKind::RunRunning => (Code::FailedPrecondition, reason::RUN_RUNNING),
        SubmitErrorKind::SourcesChanged => (Code::FailedPrecondition, reason::SOURCES_CHANGED),
        SubmitErrorKind::Argument => (Code::InvalidArgument, reason::REQUEST_INVALID),
        SubmitErrorKind::TooLarge => (Code::ResourceExhausted, reason::TOO_LARGE),
        SubmitErrorKind::PoolFull => (Code::ResourceExhausted, reason::POOL_FULL),
        SubmitErrorKind::Unavailable => (Code::Unavailable, reason::STORAGE_FAILED),
        SubmitErrorKind::StorageFull => (Code::ResourceExhausted, reason::STORAGE_FULL),
        SubmitErrorKind::TimedOut => (Code::Unavailable, reason::NODE_TIMED_OUT),
        SubmitErrorKind::Stopping => (Code::Unavailable, reason::NODE_STOPPING),
        SubmitErrorKind::Draining => (Code::Unavailable, reason::NODE_DRAINING),
        SubmitErrorKind::Internal => (Code::Internal, reason::INTERNAL),
    }
}

/// What to do where the message, which comes from far below, does not say it. Empty: it does.
fn hint(kind: SubmitErrorKind) -> &'static str {
    match kind {
        SubmitErrorKind::PythonUnavailable => "the program is not at fault: try again when the machine has less to do",
        SubmitErrorKind::Stopping => "try again: the next command starts a new node",
        SubmitErrorKind::StorageFull => "make room on the file system of the node's home, then try again",
        _ => "",
    }
}

fn load(kind: LoadFailedKind) -> &'static str {
    match kind {
        LoadFailedKind::ProgramMissing => reason::PROGRAM_MISSING,
        LoadFailedKind::NameMissing => reason::NAME_MISSING,
        LoadFailedKind::NotAProgram => reason::NOT_A_PROGRAM,
        LoadFailedKind::ProgramRaised => reason::PROGRAM_RAISED,
        LoadFailedKind::EvaluatesAtImport => reason::EVALUATES_AT_IMPORT,
        LoadFailedKind::MetricMissing => reason::METRIC_MISSING,
        LoadFailedKind::MetricInvalid => reason::METRIC_INVALID,
        LoadFailedKind::LmMissing => reason::LM_MISSING,
        LoadFailedKind::LmInvalid => reason::LM_INVALID,
        LoadFailedKind::DatasetMissing => reason::DATASET_MISSING,
        LoadFailedKind::DatasetInvalid => reason::DATASET_INVALID,
        LoadFailedKind::DatasetEmpty => reason::DATASET_EMPTY,
        LoadFailedKind::InputsMissing => reason::INPUTS_MISSING,
        LoadFailedKind::StateMissing => reason::STATE_MISSING,
        LoadFailedKind::StateInvalid => reason::STATE_INVALID,
        LoadFailedKind::Arguments => reason::REQUEST_INVALID,
    }
}

fn python(kind: RefusedKind) -> &'static str {
    match kind {
        RefusedKind::PythonUnsupported => reason::PYTHON_UNSUPPORTED,
        RefusedKind::DspyMissing => reason::DSPY_MISSING,
        RefusedKind::DspyUnsupported => reason::DSPY_UNSUPPORTED,
        RefusedKind::DependencyMissing => reason::DEPENDENCY_MISSING,
        RefusedKind::DspyBroken | RefusedKind::Protocol | RefusedKind::Threads => reason::DSPY_BROKEN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_unavailable() {
        for (kind, expected) in [
            (SubmitErrorKind::PythonUnavailable, reason::PYTHON_UNAVAILABLE),
            (SubmitErrorKind::TimedOut, reason::NODE_TIMED_OUT),
            (SubmitErrorKind::Stopping, reason::NODE_STOPPING),
            (SubmitErrorKind::Draining, reason::NODE_DRAINING),
        ] {
            assert_eq!(class(kind), (Code::Unavailable, expected));
        }
        assert!(hint(SubmitErrorKind::Stopping).contains("try again"));
        assert_eq!(class(SubmitErrorKind::StorageFull), (Code::ResourceExhausted, reason::STORAGE_FULL));
    }
}
