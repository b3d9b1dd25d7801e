//! A node that cannot start leaves the reason in its home, for the command that waits for it.

use std::path::Path;

use dspex_api::reason;
use dspex_cli::{START_ERROR_FILE, StartError};
use dspex_consensus::{FormationError, StartError as ConsensusError};
use dspex_storage::OpenError;

/// Unreachable; `exit::UNREACHABLE` of the CLI.
const UNREACHABLE: u8 = 6;
/// The work failed.
const FAILED: u8 = 1;
/// Wrong usage.
const USAGE: u8 = 2;
/// A limit was reached.
const LIMIT: u8 = 7;

/// Why the node did not start.
#[derive(Debug)]
pub(crate) struct Failure {
    reason: &'static str,
    exit_code: u8,
    message: String,
}

impl Failure {
    pub(crate) fn other(error: impl std::fmt::Display) -> Self {
        Self { reason: reason::NODE_START_FAILED, exit_code: UNREACHABLE, message: error.to_string() }
    }

    /// The settings are wrong.
    pub(crate) fn configuration(error: impl std::fmt::Display) -> Self {
        Self { reason: reason::REQUEST_INVALID, exit_code: USAGE, message: error.to_string() }
    }

    /// Workers are to be sandboxed, and the machine lacks something for it.
    pub(crate) fn sandbox(missing: &[String]) -> Self {
        let message = format!(
            "this node's workers are to be sandboxed, and its machine lacks {}. `dspex doctor` shows what there is; to do without, \
             for callers whom you trust with all that this user may, write mode = \"off\" in [sandbox] of the node's file",
            missing.join("; and ")
        );
        Self { reason: reason::SANDBOX_UNAVAILABLE, exit_code: FAILED, message }
    }

    /// The node can never be a member, or consensus ended while it waited to be.
    pub(crate) fn formation(error: FormationError) -> Self {
        match error {
            FormationError::Stopped { detail } => Self::storage(detail),
            other => Self::configuration(other),
        }
    }

    /// The store of a node that ran takes no more writes.
    pub(crate) fn storage(error: impl std::fmt::Display) -> Self {
        Self { reason: reason::STORAGE_FAILED, exit_code: LIMIT, message: error.to_string() }
    }

    /// Writes it for the command, and to the log.
    pub(crate) fn leave(&self, home: &Path) -> i32 {
        tracing::error!(reason = self.reason, "{}", self.message);
        let left =
            StartError { reason: self.reason.to_owned(), message: self.message.clone(), exit_code: self.exit_code };
        let written = serde_json::to_vec(&left).map(|json| std::fs::write(home.join(START_ERROR_FILE), json));
        if !matches!(written, Ok(Ok(()))) {
            // The command shows the end of the log instead, and that is where this goes.
            tracing::error!("the reason could not be written to the home directory");
        }
        i32::from(self.exit_code)
    }
}

impl From<ConsensusError> for Failure {
    fn from(error: ConsensusError) -> Self {
        let (reason, exit_code) = match &error {
            ConsensusError::Storage { .. } => (reason::DATA_DIRECTORY_CORRUPT, UNREACHABLE),
            ConsensusError::Full { .. } => (reason::STORAGE_FULL, LIMIT),
            // The log is whole: a slow disk or a setting is no damage.
            _ => (reason::NODE_START_FAILED, UNREACHABLE),
        };
        Self { reason, exit_code, message: error.to_string() }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let (reason, exit_code) = match &error {
            OpenError::Locked { .. } => (reason::DATA_DIRECTORY_LOCKED, UNREACHABLE),
            OpenError::ReadOnly { .. } => (reason::DATA_DIRECTORY_READ_ONLY, UNREACHABLE),
            OpenError::Full { .. } => (reason::STORAGE_FULL, LIMIT),
            OpenError::Corrupt { .. } => (reason::DATA_DIRECTORY_CORRUPT, UNREACHABLE),
            OpenError::NewerFormat { .. } => (reason::DATA_DIRECTORY_NEWER, UNREACHABLE),
            OpenError::HalfRestored { .. } => (reason::DATA_DIRECTORY_HALF_RESTORED, UNREACHABLE),
            _ => (reason::NODE_START_FAILED, UNREACHABLE),
        };
        Self { reason, exit_code, message: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn told(error: ConsensusError) -> (&'static str, u8) {
        let failure = Failure::from(error);
        (failure.reason, failure.exit_code)
    }

    #[test]
    fn a_machine_without_a_sandbox_is_told_all_that_it_lacks_and_the_way_without() {
        let failure = Failure::sandbox(&["Landlock (Function not implemented)".to_owned(), "seccomp".to_owned()]);
        assert_eq!((failure.reason, failure.exit_code), (reason::SANDBOX_UNAVAILABLE, FAILED));
        for phrase in ["lacks Landlock (Function not implemented); and seccomp", "dspex doctor", "mode = \"off\""] {
            assert!(failure.message.contains(phrase), "{phrase}: {}", failure.message);
        }
    }

    #[test]
    fn only_what_cannot_be_read_is_called_damaged() {
        let detail = || "log entry 7".to_owned();
        assert_eq!(told(ConsensusError::Storage { detail: detail() }), (reason::DATA_DIRECTORY_CORRUPT, UNREACHABLE));
        assert_eq!(told(ConsensusError::Full { detail: detail() }), (reason::STORAGE_FULL, LIMIT));
        let slow = ConsensusError::TooSlow { limit: Duration::from_secs(10) };
        assert_eq!(told(slow), (reason::NODE_START_FAILED, UNREACHABLE));
    }
}
