//! What a check came to: a state, a sentence, and what to do.

use serde_json::{Value, json};

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Ok,
    /// It works, and may stop to, or not as well as it could.
    Warning,
    /// Something will not work.
    Failure,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub check: &'static str,
    pub state: State,
    pub says: String,
    /// What to do.
    pub advice: Option<String>,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

impl Finding {
    pub(super) fn ok(check: &'static str, says: impl Into<String>) -> Self {
        Self { check, state: State::Ok, says: says.into(), advice: None }
    }

    pub(super) fn warning(check: &'static str, says: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, state: State::Warning, says: says.into(), advice: Some(advice.into()) }
    }

    pub(super) fn failure(check: &'static str, says: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, state: State::Failure, says: says.into(), advice: Some(advice.into()) }
    }

    /// For programs.
    pub(super) fn object(&self) -> Value {
        json!({ "check": self.check, "state": self.state.name(), "says": self.says, "do": self.advice })
    }

    /// For people; names of checks take `width`.
    pub(super) fn lines(&self, width: usize) -> String {
        let state = self.state.name();
        let says = self.says.trim_end().replace('\n', &format!("\n{:10}{:width$} ", "", ""));
        let advice = self.advice.as_ref().map(|advice| format!("{:10}{:width$} -> {advice}\n", "", ""));
        format!("{state:8}  {:width$} {says}\n{}", self.check, advice.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_aligned_and_say_what_to_do() {
        assert_eq!(Finding::ok("python", "3.11").lines(8), "ok        python   3.11\n");
        let lines = Finding::failure("home", "it is\na file", "move it").lines(8);
        assert_eq!(lines, "failure   home     it is\n                   a file\n                   -> move it\n");
    }
}
