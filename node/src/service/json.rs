//! JSON of callers that is stored: what could not be read back is refused at the door.

use dspex_api::{ApiError, Bytes, reason};
use dspex_model::{check_json, check_json_bytes};
use tokio::task::spawn_blocking;

/// Longer arguments are looked through beside the runtime's threads.
const SHORT: usize = 64 * 1024;

fn invalid(why: String) -> ApiError {
    ApiError::invalid(reason::REQUEST_INVALID, why)
}

/// `what` begins the sentence of a refusal.
pub(super) fn checked(what: &str, text: &str) -> Result<(), ApiError> {
    check_json(text).map_err(|error| invalid(format!("{what} {error}")))
}

/// An object, for those who ask for its fields.
pub(super) fn checked_object(what: &str, text: &str) -> Result<(), ApiError> {
    match check_json(text) {
        Ok(()) if text.trim_start().starts_with('{') => Ok(()),
        Ok(()) => Err(invalid(format!("{what} is no JSON object"))),
        Err(error) => Err(invalid(format!("{what} {error}"))),
    }
}

/// What a command is called with: it is kept with its execution.
pub(super) async fn checked_arguments(arguments: &Bytes) -> Result<(), ApiError> {
    // There may be none.
    if arguments.is_empty() {
        return Ok(());
    }
    let checked = if arguments.len() <= SHORT {
        check_json_bytes(arguments)
    } else {
        let arguments = arguments.clone();
        let checking = spawn_blocking(move || check_json_bytes(&arguments)).await;
        checking.map_err(|error| ApiError::internal(error.to_string()))?
    };
    checked.map_err(|error| invalid(format!("what the command is called with {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_python_cannot_read_back_is_refused_with_its_place() {
        assert_eq!(checked("the value of \"v\"", r#"{"a": [1, "ü"]}"#), Ok(()));
        let refused = |text: &str| checked("the value of \"v\"", text).expect_err(text);
        let error = refused(r#"{"a": [1e400]}"#);
        assert_eq!(error.reason, reason::REQUEST_INVALID);
        assert!(error.message.starts_with("the value of \"v\" holds 1e400 at a[0], "), "{}", error.message);
        for bad in ["\"\\ud800\"".to_owned(), format!("{}{}", "[".repeat(5000), "]".repeat(5000)), "{".to_owned()] {
            assert_eq!(refused(&bad).reason, reason::REQUEST_INVALID);
        }
    }

    #[test]
    fn an_object_is_one() {
        assert_eq!(checked_object("parameters", " {}"), Ok(()));
        for (bad, says) in [("[]", "is no JSON object"), ("{", "is no JSON: "), ("{\"a\": 1e999}", "1e999 at a")] {
            let error = checked_object("parameters", bad).expect_err(bad);
            assert!(error.message.contains(says), "{}", error.message);
        }
    }

    #[tokio::test]
    async fn arguments_of_any_length_are_looked_through() {
        let long = format!("[{}1e400]", "0,".repeat(SHORT));
        for bad in ["{", "[1e400]", "\"\\udfff\"", long.as_str()] {
            let refused = checked_arguments(&Bytes::from(bad.to_owned())).await;
            assert!(refused.is_err_and(|error| error.message.starts_with("what the command is called with ")));
        }
        for good in ["", "[1, 12345678901234567890123]"] {
            assert_eq!(checked_arguments(&Bytes::from_static(good.as_bytes())).await, Ok(()));
        }
    }
}
