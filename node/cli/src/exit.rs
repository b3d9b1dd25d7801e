//! The exit codes of CONTRACT.md, and which error leads to which.

use dspex_api::{Code, reason};

/// Done.
pub const OK: u8 = 0;
/// The work failed.
pub const FAILED: u8 = 1;
/// Wrong usage: options, program or data.
pub const USAGE: u8 = 2;
/// `--fail-under` is not met.
pub const GATE: u8 = 3;
/// Authentication or permission.
pub const PERMISSION: u8 = 4;
/// Not found or ambiguous.
pub const NOT_FOUND: u8 = 5;
/// Nobody answers, or no quorum; safe to retry.
pub const UNREACHABLE: u8 = 6;
/// A budget or limit is reached.
pub const LIMIT: u8 = 7;
/// Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// The exit code of an error. The reason decides where it is known; the code does for reasons of newer nodes.
pub fn of(code: Code, reason: &str) -> u8 {
    of_reason(reason).unwrap_or_else(|| of_code(code))
}

fn of_reason(reason: &str) -> Option<u8> {
    Some(match reason {
        reason::PROGRAM_MISSING
        | reason::NAME_MISSING
        | reason::NOT_A_PROGRAM
        | reason::PROGRAM_RAISED
        | reason::EVALUATES_AT_IMPORT
        | reason::METRIC_MISSING
        | reason::METRIC_INVALID
        | reason::LM_MISSING
        | reason::LM_INVALID
        | reason::DATASET_MISSING
        | reason::DATASET_INVALID
        | reason::DATASET_EMPTY
        | reason::INPUTS_MISSING
        | reason::STATE_MISSING
        | reason::STATE_INVALID
        | reason::PYTHON_MISSING
        | reason::PYTHON_UNSUPPORTED
        | reason::DSPY_MISSING
        | reason::DSPY_UNSUPPORTED
        | reason::DEPENDENCY_MISSING
        | reason::DSPY_BROKEN
        | reason::RUN_ENDED
        | reason::RUN_RUNNING
        | reason::NOTHING_FAILED
        | reason::SOURCES_CHANGED
        | reason::PAYLOAD_MISSING
        | reason::BUNDLE_MISSING
        | reason::BUNDLE_INVALID
        | reason::PROJECT_INVALID
        | reason::SECRET_FOUND
        | reason::NODE_HAS_NO_VOTE
        | reason::ENVIRONMENT_MISMATCH
        | reason::DATA_DIRECTORY_NOT_EMPTY
        | reason::DEFINITION_INVALID
        | reason::SIGNATURE_INVALID
        | reason::NAME_INVALID
        | reason::PROGRAM_INPUTS_INVALID
        | reason::REQUEST_INVALID => USAGE,
        reason::RUN_NOT_FOUND | reason::RUN_AMBIGUOUS | reason::NO_RUN_TO_RESUME | reason::BLOB_NOT_FOUND => NOT_FOUND,
        reason::POOL_NOT_FOUND | reason::WORKER_NOT_FOUND | reason::NOT_DEFINED => NOT_FOUND,
        reason::ENVIRONMENT_NOT_FOUND
        | reason::SESSION_NOT_FOUND
        | reason::SESSION_VERSION_NOT_FOUND
        | reason::PROGRAM_UNKNOWN
        | reason::PROGRAM_VERSION_NOT_FOUND
        | reason::VARIABLE_NOT_FOUND
        | reason::VARIABLE_VERSION_NOT_FOUND
        | reason::MEMBER_NOT_FOUND
        | reason::MEMBER_AMBIGUOUS
        | reason::TOKEN_NOT_FOUND
        | reason::TOKEN_AMBIGUOUS => NOT_FOUND,
        reason::UNAUTHENTICATED | reason::PERMISSION_DENIED | reason::TLS_REFUSED => PERMISSION,
        reason::SESSION_EXISTS
        | reason::VERSION_CONFLICT
        | reason::SESSION_MOVED
        | reason::REQUEST_TOO_OLD
        | reason::MEMBER_CHANGE_REFUSED
        | reason::QUORUM_AT_RISK
        | reason::SNAPSHOT_DAMAGED
        | reason::SNAPSHOT_NEWER => FAILED,
        reason::CALL_FAILED | reason::CALL_TIMED_OUT | reason::WORKER_LOST => FAILED,
        // Not the caller's fault, and waiting does not help.
        reason::SANDBOX_UNAVAILABLE => FAILED,
        reason::POOL_FULL
        | reason::POOL_DRAINED
        | reason::QUEUE_TIMEOUT
        | reason::SNAPSHOT_BUSY
        | reason::TOO_LARGE
        | reason::STORAGE_FULL => LIMIT,
        reason::PYTHON_UNAVAILABLE
        | reason::NODE_STOPPING
        | reason::NODE_DRAINING
        | reason::NODE_UNREACHABLE
        | reason::NODE_TIMED_OUT
        | reason::NODE_START_FAILED
        | reason::POOL_NOT_OPEN
        | reason::NO_LEADER
        | reason::OUTCOME_UNKNOWN
        | reason::NODE_BEHIND
        | reason::NODE_VERSION_DIFFERS => UNREACHABLE,
        _ => return None,
    })
}

fn of_code(code: Code) -> u8 {
    match code {
        Code::Ok => OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange | Code::AlreadyExists => USAGE,
        Code::Unauthenticated | Code::PermissionDenied => PERMISSION,
        Code::NotFound => NOT_FOUND,
        Code::Unavailable | Code::DeadlineExceeded => UNREACHABLE,
        Code::ResourceExhausted => LIMIT,
        Code::Cancelled | Code::Aborted | Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => {
            FAILED
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_lead_to_the_codes_of_the_contract() {
        for (reason, expected) in [
            (reason::PROGRAM_RAISED, USAGE),
            (reason::DATASET_EMPTY, USAGE),
            (reason::PYTHON_MISSING, USAGE),
            (reason::RUN_AMBIGUOUS, NOT_FOUND),
            (reason::PROGRAM_UNKNOWN, NOT_FOUND),
            (reason::SIGNATURE_INVALID, USAGE),
            (reason::NO_RUN_TO_RESUME, NOT_FOUND),
            (reason::PYTHON_UNAVAILABLE, UNREACHABLE),
            (reason::SECRET_FOUND, USAGE),
            (reason::ENVIRONMENT_MISMATCH, USAGE),
            (reason::ENVIRONMENT_NOT_FOUND, NOT_FOUND),
            (reason::POOL_FULL, LIMIT),
            (reason::SNAPSHOT_BUSY, LIMIT),
            (reason::SNAPSHOT_DAMAGED, FAILED),
            (reason::DATA_DIRECTORY_NOT_EMPTY, USAGE),
            (reason::NODE_UNREACHABLE, UNREACHABLE),
            (reason::NODE_HAS_NO_VOTE, USAGE),
            (reason::NODE_DRAINING, UNREACHABLE),
            (reason::TLS_REFUSED, PERMISSION),
            (reason::SANDBOX_UNAVAILABLE, FAILED),
        ] {
            assert_eq!(of(Code::Unknown, reason), expected, "{reason}");
        }
    }

    #[test]
    fn an_unknown_reason_falls_back_to_the_code() {
        assert_eq!(of(Code::ResourceExhausted, "BUDGET_EXCEEDED"), LIMIT);
        assert_eq!(of(Code::PermissionDenied, ""), PERMISSION);
        assert_eq!(of(Code::Unavailable, ""), UNREACHABLE);
        assert_eq!(of(Code::Internal, reason::INTERNAL), FAILED);
    }
}
