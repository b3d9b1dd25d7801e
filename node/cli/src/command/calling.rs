//! What calls of pools and of sessions have in common: their arguments, whose environment their workers have, how answers are shown.

use std::time::Duration;

use dspex_api::v1::Caller;
use dspex_api::{ApiError, reason};
use serde_json::value::RawValue;

use crate::command::eval::{caller, show_passed_over};
use crate::error::CommandError;
use crate::interpreter;
use crate::invocation::Invocation;
use crate::output::{self, Format};
use crate::reading::{self, JSON_BYTES_MAX};
use crate::verbatim::{indented, plain};

/// Longer than any pool lets a call wait and run: the node says itself when it is too long.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// A result is one JSON value.
pub fn has_a_form(format: Format) -> Result<(), CommandError> {
    if format == Format::Csv {
        return Err(CommandError::usage("a result has no columns: use -o table or -o json"));
    }
    Ok(())
}

/// A limit as it travels.
pub fn milliseconds(limit: Duration) -> u64 {
    u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// What the embedded node's workers get of this process. A node with an environment of its own needs nothing, not even a
/// Python on this machine.
pub fn own(invocation: &Invocation, python: Option<&str>, command: &str) -> Result<Option<Caller>, CommandError> {
    if invocation.node_has_environment() {
        if python.is_some() {
            invocation
                .console
                .warning("--python plays no part: the node's workers have the interpreter of its dspex.toml");
        }
        return Ok(None);
    }
    // A file's own .venv counts, as for the PROGRAM of an evaluation.
    let interpreter = interpreter::of_this_process(python, command)?;
    show_passed_over(invocation, &interpreter);
    Ok(Some(caller(Some(&interpreter), &std::env::current_dir()?)))
}

/// The arguments of a call: JSON, from the command line or from stdin.
pub fn arguments(given: Option<&str>) -> Result<String, CommandError> {
    let text = match given {
        None => return Ok(String::new()),
        Some("-") => reading::text("-", "the arguments", JSON_BYTES_MAX)?,
        Some(text) => text.to_owned(),
    };
    match serde_json::from_str::<&RawValue>(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(CommandError::usage(format!("the arguments are not JSON: {error}"))
            .hint("text needs double quotes inside single ones: '\"hello\"', an object '{\"text\": \"hello\"}'")),
    }
}

/// What the worker printed last belongs to the error.
pub fn with_output(error: ApiError) -> CommandError {
    let output = error.get("output").map(str::to_owned).filter(|output| !output.trim().is_empty());
    let mut error = CommandError::from(error);
    if error.reason == reason::CALL_FAILED && error.hint.is_none() && error.traceback.is_none() {
        error.hint = Some("dspex pool stats shows how the pool is".to_owned());
    }
    if let Some(output) = output {
        error.message = format!("{}\nThe worker printed last:\n{}", error.message, output.trim_end());
    }
    error
}

/// A result: indented for people, as it came for programs.
pub fn print(result: &[u8], format: Format) -> Result<(), CommandError> {
    let text = String::from_utf8_lossy(result);
    match format {
        Format::Table => output::people(&format!("{}\n", for_people(&text))),
        Format::Json | Format::Jsonl | Format::Csv => output::text(&format!("{text}\n")),
    }
}

/// With the digits that the worker wrote.
fn for_people(result: &str) -> String {
    match serde_json::from_str::<&RawValue>(result) {
        Ok(value) if value.get().starts_with('"') => plain(value),
        Ok(value) => indented(value.get()),
        Err(_) => result.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_a_result_as_it_was_given() {
        assert_eq!(for_people(r#""two\nlines""#), "two\nlines");
        assert_eq!(
            for_people(r#"{"a":[1e400,123456789012345678901]}"#),
            "{\n  \"a\": [\n    1e400,\n    123456789012345678901\n  ]\n}"
        );
        assert_eq!(for_people("no JSON"), "no JSON");
    }
}
