//! What a program is made of: the JSON that a worker's command `create_program` takes, without an id.
//!
//! Checked where it comes in. A secret must not enter the log, and what no worker could build is told at once.

use serde_json::{Map, Value};

use crate::json::check_json;
use crate::secrets;
use crate::signature::{Signature, SignatureError, TypeNames};

/// Longer definitions are blobs.
pub const DEFINITION_INLINE_BYTES_MAX: usize = 16 * 1024;

/// What a worker takes as the arguments of a command.
pub const DEFINITION_BYTES_MAX: usize = 16 * 1024 * 1024;

const FIELDS: &[&str] = &["signature", "instructions", "module", "program", "state", "lm", "lm_settings"];
const MODULES: &[&str] = &["predict", "chain_of_thought"];
/// In these stand settings of an LM; elsewhere in a state a predictor may be called as it likes.
const SETTINGS: &str = "lm_settings";
const STATE: &str = "state";

const USAGE: &str = r#"a definition is {"signature": "question -> answer"} with "instructions", "module", "state", "lm", "lm_settings", or {"program": "path.py:name"}"#;

/// Why a text is no definition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// Not what a worker takes.
    #[error("{0}")]
    Form(String),
    /// Its signature is none.
    #[error("the signature: {0}")]
    Signature(#[from] SignatureError),
    /// It holds a secret.
    #[error(
        "{0} is a secret, and would be stored on every node: set the provider's environment variable where the workers start"
    )]
    Secret(String),
}

/// Checks a definition; gives its signature, where it says one. That of code is known to Python only.
///
/// # Errors
/// What is wrong with it.
pub fn check_definition(json: &str) -> Result<Option<Signature>, DefinitionError> {
    let form = |why: String| DefinitionError::Form(why);
    check_json(json).map_err(|error| form(format!("the definition {error}")))?;
    let read = serde_json::from_str(json).map_err(|error| form(format!("the definition is no JSON: {error}")))?;
    let Value::Object(definition) = read else { return Err(form(format!("{USAGE}, not {read}")).shortened()) };
    if definition.contains_key("id") {
        return Err(form("a definition has no \"id\": the program's name stands beside it".to_owned()));
    }
    if let Some(other) = definition.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        return Err(form(format!("a definition has no {other:?}; {USAGE}")).shortened());
    }
    check_kinds(&definition)?;
    check_secrets(json)?;
    match (present(&definition, "signature"), present(&definition, "program")) {
        (Some(signature), None) => Ok(Some(Signature::of_value(signature, TypeNames::Known)?)),
        (None, Some(_)) => check_code(&definition),
        _ => Err(form(format!("a definition has either a signature or a program; {USAGE}"))),
    }
}

impl DefinitionError {
    /// A definition may be large, and a message is for people.
    fn shortened(self) -> Self {
        const BYTES_MAX: usize = 512;
        match self {
            Self::Form(text) if text.len() > BYTES_MAX => {
                Self::Form(format!("{}...", &text[..text.floor_char_boundary(BYTES_MAX)]))
            }
            other => other,
        }
    }
}

/// `null` is as good as nothing.
fn present<'a>(definition: &'a Map<String, Value>, field: &str) -> Option<&'a Value> {
    definition.get(field).filter(|value| !value.is_null())
}

fn check_kinds(definition: &Map<String, Value>) -> Result<(), DefinitionError> {
    for field in ["instructions", "module", "program", "lm"] {
        if present(definition, field).is_some_and(|value| !value.is_string()) {
            return Err(DefinitionError::Form(format!("{field} is a text")));
        }
    }
    for field in ["state", "lm_settings"] {
        if present(definition, field).is_some_and(|value| !value.is_object()) {
            return Err(DefinitionError::Form(format!("{field} is an object")));
        }
    }
    if let Some(module) = present(definition, "module").and_then(Value::as_str)
        && !MODULES.contains(&module)
    {
        return Err(
            DefinitionError::Form(format!("module is one of {}, not {module:?}", MODULES.join(", "))).shortened()
        );
    }
    if present(definition, "lm_settings").is_some() && present(definition, "lm").is_none() {
        return Err(DefinitionError::Form("lm_settings change the LM that lm names: give lm, too".to_owned()));
    }
    Ok(())
}

/// Of code nothing is known but where it is.
fn check_code(definition: &Map<String, Value>) -> Result<Option<Signature>, DefinitionError> {
    let reference = present(definition, "program").and_then(Value::as_str).unwrap_or_default();
    let names_something = reference.split_once(':').is_some_and(|(place, name)| !place.is_empty() && !name.is_empty());
    if !names_something {
        return Err(DefinitionError::Form(format!(
            "program is \"path.py:name\" or \"module:name\", not {reference:?}"
        ))
        .shortened());
    }
    match ["instructions", "module"].into_iter().find(|field| present(definition, field).is_some()) {
        Some(field) => {
            Err(DefinitionError::Form(format!("{field} belongs to a signature; a program of code has its own")))
        }
        None => Ok(None),
    }
}

/// Settings of an LM, wherever they stand: those of the definition, and what a saved state says of LMs.
fn check_secrets(json: &str) -> Result<(), DefinitionError> {
    let is_setting = |names: &[std::borrow::Cow<'_, str>]| match names {
        [first, ..] if first == SETTINGS => true,
        [first, within @ ..] if first == STATE => within.iter().any(|name| name == "lm"),
        _ => false,
    };
    secrets::find("", json, is_setting).map_or(Ok(()), |place| Err(DefinitionError::Secret(place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &str) -> String {
        check_definition(json).expect_err(json).to_string()
    }

    #[test]
    fn a_definition_gives_its_signature_whatever_form_that_has() {
        let fields = r#"{"signature": {"inputs": [{"name": "question"}], "outputs": [{"name": "score", "type": "float", "description": "0 to 1"}]}}"#;
        for (json, text) in [
            (
                r#"{"signature": "question -> answer", "module": "chain_of_thought", "instructions": "Be short."}"#,
                Some("question -> answer"),
            ),
            (fields, Some("question: str -> score: float")),
            (
                r#"{"signature": "q -> a", "lm": "openai/gpt-4o-mini", "lm_settings": {"max_tokens": 100}, "program": null}"#,
                Some("q -> a"),
            ),
            (r#"{"program": "qa.py:program", "state": {"predict": {"demos": []}}}"#, None),
        ] {
            let signature = check_definition(json).expect(json);
            assert_eq!(signature.as_ref().map(Signature::text).as_deref(), text, "{json}");
        }
    }

    #[test]
    fn what_no_worker_could_build_is_told_with_its_field() {
        for (json, says) in [
            ("", "no JSON"),
            ("[1]", "a definition is"),
            (r#"{"signature": "q -> a", "lm": "m", "lm_settings": {"t": 1e400}}"#, "1e400 at lm_settings.t"),
            (r#"{"signature": "q -> a", "instructions": "\ud800"}"#, "surrogate"),
            ("{}", "either a signature or a program"),
            (r#"{"signature": "q -> a", "program": "m:n"}"#, "either a signature or a program"),
            (r#"{"id": "qa", "signature": "q -> a"}"#, "no \"id\""),
            (r#"{"signature": "q -> a", "demos": []}"#, "no \"demos\""),
            (r#"{"signature": "q -> a", "module": "react"}"#, "predict, chain_of_thought, not \"react\""),
            (r#"{"signature": "q -> a", "instructions": 1}"#, "instructions is a text"),
            (r#"{"signature": "q -> a", "state": []}"#, "state is an object"),
            (r#"{"signature": "q -> a", "lm_settings": {}}"#, "give lm, too"),
            (r#"{"signature": "q -> q"}"#, "the field \"q\""),
            (r#"{"program": "qa.py"}"#, "path.py:name"),
            (r#"{"program": "qa.py:program", "module": "predict"}"#, "module belongs to a signature"),
        ] {
            let message = refused(json);
            assert!(message.contains(says), "{json}: {message}");
        }
        assert!(refused(&format!("\"{}\"", "x".repeat(1 << 20))).len() < 1024, "a message is for people");
    }

    #[test]
    fn a_secret_never_enters_the_log() {
        let secret = |json: &str, place: &str| {
            let found = check_definition(json).expect_err(json);
            assert_eq!(found, DefinitionError::Secret(place.to_owned()), "{json}");
            assert!(!found.to_string().contains("sk-1"), "{found}");
        };
        secret(r#"{"signature": "q -> a", "lm": "m", "lm_settings": {"api_key": "sk-1"}}"#, "lm_settings.api_key");
        secret(
            r#"{"signature": "q -> a", "lm": "m", "lm_settings": {"x": {"Auth_Token": "sk-1"}}}"#,
            "lm_settings.x.Auth_Token",
        );
        secret(r#"{"program": "m:n", "state": {"p": {"lm": {"api_key": "sk-1"}}}}"#, "state.p.lm.api_key");
        secret(r#"{"program": "m:n", "state": {"all": [{"lm": {"api_key": "sk-1"}}]}}"#, "state.all[0].lm.api_key");
        let headers = |name: &str| {
            format!(r#"{{"signature": "q -> a", "lm": "m", "lm_settings": {{"extra_headers": {{"{name}": "sk-1"}}}}}}"#)
        };
        for name in ["Authorization", "x-api-key", "Cookie", "Proxy-Authorization"] {
            secret(&headers(name), &format!("lm_settings.extra_headers.{name}"));
        }
        secret(
            r#"{"signature": "q -> a", "lm": "m", "lm_settings": {"aws_access_key_id": "sk-1"}}"#,
            "lm_settings.aws_access_key_id",
        );
        secret(
            r#"{"signature": "q -> a", "lm": "m", "lm_settings": {"api_base": "https://me:sk-1@host/v1"}}"#,
            "the password of the URL in lm_settings.api_base",
        );
        // A field of an example is none, and neither is a number.
        let demos =
            r#"{"program": "m:n", "state": {"demos": [{"token": "word"}], "lm": {"max_token": 5, "api_key": null}}}"#;
        assert_eq!(check_definition(demos), Ok(None));
        let ordinary = r#"{"signature": "q -> a", "lm": "m", "lm_settings": {"max_tokens": 5, "tokenizer": "x", "key": "k", "keyword": "w"}}"#;
        assert!(check_definition(ordinary).is_ok());
    }
}
