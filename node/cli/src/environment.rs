//! `--env NAME[=V]`, and the environment that the embedded node hands to the workers.

use std::collections::BTreeMap;

use dspex_api::v1::Setting;

use crate::echo::quoted;
use crate::setting::is_secret;

/// One `--env`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variable {
    /// Read where the program executes; embedded: from the caller.
    Named(String),
    /// Stored with the run.
    Stored(String, String),
}

/// Parses `NAME` or `NAME=V`.
pub fn parse(text: &str) -> Result<Variable, String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    if name.is_empty() || name.contains('\0') {
        return Err(format!("{} names no variable", quoted(text)));
    }
    match value {
        None => Ok(Variable::Named(name.to_owned())),
        Some(_) if is_secret(name) => Err(format!(
            "{name} looks like a secret and would be stored with the run: set it in your environment and write --env {name}"
        )),
        Some(value) => Ok(Variable::Stored(name.to_owned(), value.to_owned())),
    }
}

/// The variables to store with the run, and the names of those that must be set where it executes.
pub fn split(variables: &[Variable]) -> (Vec<Setting>, Vec<String>) {
    let (mut stored, mut names) = (BTreeMap::new(), Vec::new());
    for variable in variables {
        match variable {
            Variable::Named(name) => names.push(name.clone()),
            Variable::Stored(name, value) => {
                stored.insert(name.clone(), value.clone());
            }
        }
    }
    (stored.into_iter().map(|(key, value)| Setting { key, value }).collect(), names)
}

/// The caller's whole environment. What is not UTF-8 has no place in a protobuf string and is left out.
pub fn of_caller() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_stored_and_names_are_looked_up() {
        let variables = ["A=1", "B", "A=2=3"].map(|text| parse(text).expect(text));
        let (stored, names) = split(&variables);
        assert_eq!((stored.len(), names), (1, vec!["B".to_owned()]));
        assert_eq!((stored[0].key.as_str(), stored[0].value.as_str()), ("A", "2=3"));
    }

    #[test]
    fn secrets_are_never_stored() {
        for text in ["OPENAI_API_KEY=x", "HF_TOKEN=x", "my_secret=x", "PASSWORD="] {
            assert!(parse(text).expect_err(text).contains("--env"), "{text}");
        }
        assert_eq!(parse("OPENAI_API_KEY"), Ok(Variable::Named("OPENAI_API_KEY".into())));
    }

    #[test]
    fn a_variable_has_a_name() {
        assert!(parse("=1").is_err() && parse("").is_err());
    }
}
