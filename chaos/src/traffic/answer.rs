//! What an error says of a request, as the book's page on consistency promises it ("Retrying").

use dspex_api::{ApiError, key, reason};

use crate::{Action, Outcome};

/// What is known of a request after it was sent once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It was executed, or refused by the log: this is its outcome, now and whenever it is sent again.
    Answer(Outcome),
    /// This sending was not executed and another one would not be: the request itself is refused.
    Refused(String),
    /// This sending was not executed; another one may be.
    NotExecuted(String),
    /// It may have been executed, or be executed later.
    MayBeExecuted(String),
}

/// Judges an error of a sending that reached a connection.
pub(super) fn judge(action: &Action, error: &ApiError) -> Said {
    let told = if error.reason.is_empty() { error.to_string() } else { error.reason.to_string() };
    let current = || error.get(key::CURRENT).and_then(|version| version.parse().ok());
    let outcome = match error.reason.as_ref() {
        reason::SESSION_NOT_FOUND => Some(Outcome::Missing),
        reason::SESSION_EXISTS => current().map(|version| Outcome::Exists { version }),
        reason::VERSION_CONFLICT => current().map(|current| Outcome::VersionConflict { current }),
        _ => None,
    };
    if let Some(outcome) = outcome {
        return Said::Answer(outcome);
    }
    match error.reason.as_ref() {
        reason::NO_LEADER | reason::NODE_BEHIND => Said::NotExecuted(told),
        reason::REQUEST_INVALID
        | reason::REQUEST_TOO_OLD
        | reason::TOO_LARGE
        | reason::PERMISSION_DENIED
        | reason::UNAUTHENTICATED
        | reason::TLS_REFUSED => Said::Refused(told),
        // A read changes nothing, whatever became of it.
        _ if *action == Action::Get => Said::NotExecuted(told),
        // A lost connection, a time-out, a failing disk, and whatever is not known here.
        _ => Said::MayBeExecuted(told),
    }
}

/// What is written down when an operation ends without an answer.
pub(super) fn ended(may_be_executed: bool, reason: String) -> Outcome {
    if may_be_executed { Outcome::Unknown { reason } } else { Outcome::Refused { reason } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(action: &Action, reason: &'static str) -> Said {
        judge(action, &ApiError::unavailable(reason, "told").with(key::CURRENT, "7"))
    }

    #[test]
    fn every_reason_says_whether_a_write_was_executed() {
        let update = Action::Update { expected_version: Some(6), value: "v".to_owned() };
        assert_eq!(said(&update, reason::SESSION_NOT_FOUND), Said::Answer(Outcome::Missing));
        assert_eq!(said(&update, reason::VERSION_CONFLICT), Said::Answer(Outcome::VersionConflict { current: 7 }));
        let create = Action::Create { value: "v".to_owned() };
        assert_eq!(said(&create, reason::SESSION_EXISTS), Said::Answer(Outcome::Exists { version: 7 }));
        assert_eq!(said(&update, reason::NO_LEADER), Said::NotExecuted("NO_LEADER".to_owned()));
        for refusal in [reason::REQUEST_INVALID, reason::TOO_LARGE, reason::REQUEST_TOO_OLD] {
            assert_eq!(said(&update, refusal), Said::Refused(refusal.to_owned()));
        }
        for open in [
            reason::OUTCOME_UNKNOWN,
            reason::NODE_TIMED_OUT,
            reason::NODE_STOPPING,
            reason::NODE_UNREACHABLE,
            reason::STORAGE_FAILED,
            reason::STORAGE_FULL,
            reason::INTERNAL,
            "",
        ] {
            assert!(matches!(said(&update, open), Said::MayBeExecuted(_)), "{open}");
            assert!(matches!(said(&Action::Get, open), Said::NotExecuted(_)), "{open}");
        }
    }

    #[test]
    fn a_refusal_without_the_version_that_stands_is_no_answer() {
        let update = Action::Update { expected_version: Some(6), value: "v".to_owned() };
        let error = ApiError::unavailable(reason::VERSION_CONFLICT, "told");
        assert!(matches!(judge(&update, &error), Said::MayBeExecuted(_)));
    }

    #[test]
    fn what_one_sending_left_open_stays_open() {
        assert!(matches!(ended(true, String::new()), Outcome::Unknown { .. }));
        assert!(matches!(ended(false, String::new()), Outcome::Refused { .. }));
    }
}
