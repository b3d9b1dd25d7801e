//! `--lm-set key=value`: the value is JSON where it parses as JSON, else text.

use dspex_api::v1::Setting;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::echo::quoted;

/// Parses one setting into its key and the JSON text of its value.
pub fn parse(text: &str) -> Result<Setting, String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("{} is not key=value", quoted(text)))?;
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(format!("{} is not the name of a setting", quoted(key)));
    }
    if is_secret(key) {
        return Err(format!(
            "{key} is a secret: arguments are visible to other users and stored with the run. Set the provider's \
             environment variable instead (OPENAI_API_KEY, ANTHROPIC_API_KEY, ...)"
        ));
    }
    Ok(Setting { key: key.to_owned(), value: as_json(value) })
}

/// Whether a setting or variable of this name holds a secret.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["KEY", "TOKEN", "SECRET", "PASSWORD"].iter().any(|ending| name.ends_with(ending))
}

/// The text is kept as typed where it is JSON, so that no digit of a number is lost.
fn as_json(value: &str) -> String {
    match serde_json::from_str::<IgnoredAny>(value) {
        Ok(_) => value.trim().to_owned(),
        Err(_) => Value::from(value).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> String {
        parse(text).expect(text).value
    }

    #[test]
    fn values_are_json_where_they_parse() {
        assert_eq!(value("temperature=0.70"), "0.70");
        assert_eq!(value("seed=123456789012345678901234567890"), "123456789012345678901234567890");
        assert_eq!(value("limit=1e400"), "1e400");
        assert_eq!(value("cache=false"), "false");
        assert_eq!(value("stop=[\"a\", \"b\"]"), "[\"a\", \"b\"]");
        assert_eq!(value("model_type=chat"), "\"chat\"");
        assert_eq!(value("api_base=http://localhost:1/v1?a=b"), "\"http://localhost:1/v1?a=b\"");
        assert_eq!(value("empty="), "\"\"");
    }

    #[test]
    fn secrets_and_nonsense_are_refused() {
        for text in ["api_key=x", "API_TOKEN=x", "aws_secret=x", "password=x", "temperature", "=1", "a b=1"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("max_tokens=100").is_ok());
    }
}
