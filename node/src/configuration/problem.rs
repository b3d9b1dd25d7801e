//! What is wrong with a configuration: where, which key, which value, and what is allowed.

use std::fmt;

use serde_json::{Value, json};

/// One thing that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Problem {
    /// `dspex.toml:3` or the name of a variable.
    pub origin: Option<String>,
    /// `api.listen`.
    pub key: Option<String>,
    /// As it is written, without secrets.
    pub value: Option<String>,
    /// What is allowed, or what to do.
    pub message: String,
}

impl Problem {
    /// Without a key of its own.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// For programs.
    pub(crate) fn object(&self) -> Value {
        json!({ "origin": self.origin, "key": self.key, "value": self.value, "message": self.message })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        match (&self.key, &self.value) {
            (Some(key), Some(value)) => write!(f, "{key} = {value}: ")?,
            (Some(key), None) => write!(f, "{key}: ")?,
            (None, _) => {}
        }
        f.write_str(&self.message)
    }
}

/// All that is wrong: at least one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problems(pub Vec<Problem>);

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.0.iter().enumerate() {
            let line_break = if position == 0 { "" } else { "\n" };
            write!(f, "{line_break}{problem}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_its_place_its_key_and_its_value() {
        let whole = Problem {
            origin: Some("dspex.toml:3".to_owned()),
            key: Some("pools.general.workers".to_owned()),
            value: Some("0".to_owned()),
            message: "must be more".to_owned(),
        };
        assert_eq!(whole.to_string(), "dspex.toml:3: pools.general.workers = 0: must be more");
        let both = Problems(vec![Problem { value: None, ..whole }, Problem::new("there is no file x")]);
        assert_eq!(both.to_string(), "dspex.toml:3: pools.general.workers: must be more\nthere is no file x");
    }
}
