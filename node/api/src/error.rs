//! The error that client and server share, and its form on the wire: a status with `google.rpc.ErrorInfo`.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, ErrorInfo, StatusExt};

use crate::reason;

/// The domain of every `ErrorInfo` that DSPex sends.
pub const DOMAIN: &str = "dspex";
/// When to try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Longer messages are cut: they travel in HTTP/2 headers.
pub const MESSAGE_LIMIT_BYTES: usize = 4 << 10;
/// Longer metadata values lose their beginning: a traceback says most at its end.
pub const METADATA_LIMIT_BYTES: usize = 32 << 10;

/// The metadata keys of an [`ApiError`].
pub mod key {
    /// The remote traceback.
    pub const TRACEBACK: &str = "traceback";
    /// The file at fault.
    pub const FILE: &str = "file";
    /// The line at fault, 1-based.
    pub const LINE: &str = "line";
    /// What to do about it, a sentence.
    pub const HINT: &str = "hint";
    /// The version that a session, program or variable stands at.
    pub const CURRENT: &str = "current";
    /// What answers at the address is no node: what it is instead.
    pub const FOREIGN: &str = "foreign";
}

/// A refusal or failure, as a caller sees it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// The class of the error.
    pub code: Code,
    /// One of [`crate::reason`]; empty when a foreign server sent none.
    pub reason: Cow<'static, str>,
    /// For people.
    pub message: String,
    /// For programs: see [`key`].
    pub metadata: BTreeMap<String, String>,
}

impl ApiError {
    /// An error without metadata.
    pub fn new(code: Code, reason: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), message: message.into(), metadata: BTreeMap::new() }
    }

    /// The caller's input is at fault.
    pub fn invalid(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, reason, message)
    }

    /// What was named does not exist.
    pub fn not_found(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Code::NotFound, reason, message)
    }

    /// What was named is not in a state that allows this.
    pub fn precondition(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Code::FailedPrecondition, reason, message)
    }

    /// Nobody answers; safe to retry.
    pub fn unavailable(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Code::Unavailable, reason, message)
    }

    /// A defect of DSPex.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, reason::INTERNAL, message)
    }

    /// Adds a metadata entry; an empty value is left out.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        let value = value.into();
        if !value.is_empty() {
            self.metadata.insert(key.to_owned(), value);
        }
        self
    }

    /// A metadata value.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        let metadata: HashMap<String, String> =
            error.metadata.into_iter().map(|(key, value)| (key, keep_end(value))).collect();
        let mut details = ErrorDetails::new();
        if waiting_helps(&error.reason) {
            details.set_retry_info(Some(RETRY_AFTER));
        }
        details.set_error_info(error.reason, DOMAIN, metadata);
        Status::with_error_details(error.code, keep_start(error.message), details)
    }
}

impl From<Status> for ApiError {
    fn from(status: Status) -> Self {
        let (code, message) = (status.code(), status.message().to_owned());
        if let Some(info) = info_of_node(&status) {
            return Self { metadata: info.metadata.into_iter().collect(), ..Self::new(code, info.reason, message) };
        }
        match reason_without_details(&status) {
            reason::NODE_UNREACHABLE => {
                Self::new(code, reason::NODE_UNREACHABLE, format!("the connection to the node broke: {message}"))
            }
            reason => Self::new(code, reason, message),
        }
    }
}

/// What a node says of an error. A status without it is of no node: of the connection, or of a foreign server.
pub(crate) fn info_of_node(status: &Status) -> Option<ErrorInfo> {
    status.get_details_error_info().filter(|info| info.domain == DOMAIN)
}

/// What passes by itself is told so: `google.rpc.RetryInfo`.
fn waiting_helps(reason: &str) -> bool {
    matches!(
        reason,
        reason::POOL_FULL
            | reason::QUEUE_TIMEOUT
            | reason::NODE_TIMED_OUT
            | reason::NODE_STOPPING
            | reason::NODE_DRAINING
            | reason::PYTHON_UNAVAILABLE
            | reason::NO_LEADER
            | reason::OUTCOME_UNKNOWN
            | reason::SNAPSHOT_BUSY
    )
}

/// A broken connection reaches the caller as a status that no server wrote; tonic gives it one of these codes.
fn reason_without_details(status: &Status) -> &'static str {
    match status.code() {
        Code::Unavailable | Code::Unknown | Code::Cancelled if std::error::Error::source(status).is_some() => {
            reason::NODE_UNREACHABLE
        }
        Code::Unavailable => reason::NODE_UNREACHABLE,
        Code::DeadlineExceeded => reason::NODE_TIMED_OUT,
        _ => "",
    }
}

fn keep_start(mut text: String) -> String {
    if text.len() > MESSAGE_LIMIT_BYTES {
        let end = text.floor_char_boundary(MESSAGE_LIMIT_BYTES);
        text.truncate(end);
        text.push_str(" ...");
    }
    text
}

fn keep_end(text: String) -> String {
    if text.len() <= METADATA_LIMIT_BYTES {
        return text;
    }
    let start = text.ceil_char_boundary(text.len() - METADATA_LIMIT_BYTES);
    format!("... {}", &text[start..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_wire() {
        let error = ApiError::invalid(reason::PROGRAM_RAISED, "importing qa.py raised NameError: x")
            .with(key::TRACEBACK, "Traceback (most recent call last):\n  ...")
            .with(key::LINE, "3");
        assert_eq!(ApiError::from(Status::from(error.clone())), error);
    }

    #[test]
    fn who_may_try_again_is_told_when() {
        let retry = |reason| {
            let status = Status::from(ApiError::new(Code::ResourceExhausted, reason, ""));
            status.get_details_retry_info().and_then(|info| info.retry_delay)
        };
        assert_eq!(retry(reason::POOL_FULL), Some(RETRY_AFTER));
        assert_eq!(retry(reason::TOO_LARGE), None);
    }

    #[test]
    fn long_texts_are_cut_on_the_side_that_says_less() {
        let error = ApiError::internal("é".repeat(MESSAGE_LIMIT_BYTES))
            .with(key::TRACEBACK, format!("{}NameError", "é".repeat(METADATA_LIMIT_BYTES)));
        let back = ApiError::from(Status::from(error));
        assert!(back.message.len() <= MESSAGE_LIMIT_BYTES + 4);
        let traceback = back.get(key::TRACEBACK).expect("kept");
        assert!(traceback.len() <= METADATA_LIMIT_BYTES + 4 && traceback.ends_with("NameError"));
    }

    #[test]
    fn a_foreign_status_keeps_its_code() {
        let error = ApiError::from(Status::new(Code::Unimplemented, "unknown service"));
        assert_eq!((error.code, error.reason.as_ref()), (Code::Unimplemented, ""));
        assert_eq!(error.message, "unknown service");
    }

    #[test]
    fn a_broken_connection_is_told_from_an_address_that_a_node_cannot_reach() {
        let broken = ApiError::from(Status::new(Code::Unavailable, "transport error"));
        assert_eq!(broken.reason, reason::NODE_UNREACHABLE);
        assert_eq!(broken.message, "the connection to the node broke: transport error");
        let of_node = ApiError::unavailable(reason::NODE_UNREACHABLE, "the node at n:7410: refused");
        assert_eq!(ApiError::from(Status::from(of_node.clone())), of_node);
    }
}
