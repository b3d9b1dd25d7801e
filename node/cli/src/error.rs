//! What makes a command end before its work is done.

use std::borrow::Cow;
use std::fmt;
use std::io;

use dspex_api::{ApiError, key, reason};

use crate::exit;

/// An error for the person who typed the command.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandError {
    /// The exit code.
    pub exit: u8,
    /// One of `dspex_api::reason`, or empty.
    pub reason: Cow<'static, str>,
    /// Empty: nothing is printed.
    pub message: String,
    /// The user's traceback.
    pub traceback: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl CommandError {
    /// An error with an exit code.
    pub fn new(exit: u8, message: impl Into<String>) -> Self {
        Self { exit, reason: Cow::Borrowed(""), message: message.into(), traceback: None, hint: None }
    }

    /// Wrong usage.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(exit::USAGE, message)
    }

    /// An error with a reason, which decides the exit code.
    pub fn because(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason: Cow::Borrowed(reason), ..Self::new(exit::of(dspex_api::Code::Unknown, reason), message) }
    }

    /// The reader of stdout has gone (`dspex run list | head -1`): nothing is wrong.
    pub fn reader_left() -> Self {
        Self::new(exit::OK, "")
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl From<ApiError> for CommandError {
    fn from(error: ApiError) -> Self {
        let hint = match error.reason.as_ref() {
            reason::NO_LEADER => Some("dspex cluster status shows which members do not answer"),
            _ => None,
        };
        Self {
            exit: exit::of(error.code, &error.reason),
            traceback: error.get(key::TRACEBACK).map(str::to_owned),
            hint: error.get(key::HINT).or(hint).map(str::to_owned),
            reason: error.reason,
            message: error.message,
        }
    }
}

impl From<io::Error> for CommandError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::reader_left();
        }
        Self::new(exit::FAILED, error.to_string())
    }
}
