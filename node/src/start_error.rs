//! A node that cannot start leaves the reason in its home, for the command that waits for it.

use std::path::Path;

use dspex_api::reason;
use dspex_cli::{START_ERROR_FILE, StartError};
use dspex_consensus::{FormationError, StartError as ConsensusError};
use dspex_storage::OpenError;

/// Unreachable; `exit::UNREACHABLE` of the CLI.
const UNREACHABLE: u8 = 6;
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
    fn only_what_cannot_be_read_is_called_damaged() {
        let detail = || "log entry 7".to_owned();
        assert_eq!(told(ConsensusError::Storage { detail: detail() }), (reason::DATA_DIRECTORY_CORRUPT, UNREACHABLE));
        assert_eq!(told(ConsensusError::Full { detail: detail() }), (reason::STORAGE_FULL, LIMIT));
        let slow = ConsensusError::TooSlow { limit: Duration::from_secs(10) };
        assert_eq!(told(slow), (reason::NODE_START_FAILED, UNREACHABLE));
    }
}
