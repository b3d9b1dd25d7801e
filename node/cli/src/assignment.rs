//! `NAME=JSON` on the command line, and values as they come back.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::error::CommandError;

/// Parses one assignment.
pub fn parse(text: &str) -> Result<(String, String), String> {
    let (name, json) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("write NAME=JSON")?;
    checked(json).map_err(|why| format!("{why}: {name}='\"text\"'"))?;
    Ok((name.to_owned(), json.to_owned()))
}

/// Whether a text is JSON.
pub fn checked(json: &str) -> Result<(), String> {
    let read = serde_json::from_str::<IgnoredAny>(json);
    read.map(drop).map_err(|error| format!("{json:?} is no JSON ({error}); text needs quotes"))
}

/// Of two values under one name one would be lost without a word.
pub fn once(values: Vec<(String, String)>) -> Result<BTreeMap<String, String>, CommandError> {
    let mut map = BTreeMap::new();
    for (name, value) in values {
        if map.contains_key(&name) {
            return Err(CommandError::usage(format!("--set {name} is given twice")));
        }
        map.insert(name, value);
    }
    Ok(map)
}

/// Values are JSON texts; one that is not, from a newer node, is shown as it is.
pub fn object(values: &BTreeMap<String, String>) -> Value {
    Value::Object(values.iter().map(|(name, text)| (name.clone(), value(text))).collect())
}

/// One of them.
pub fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_json() {
        let pair = |name: &str, json: &str| Ok((name.to_owned(), json.to_owned()));
        assert_eq!(parse("a=1"), pair("a", "1"));
        assert_eq!(parse("a={\"b\": \"c=d\"}"), pair("a", "{\"b\": \"c=d\"}"));
        for bad in ["a", "=1", "a=text", "a="] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse("a=text").is_err_and(|why| why.contains("quotes")));
        assert!(once(vec![("a".into(), "1".into()), ("a".into(), "2".into())]).is_err());
        assert_eq!(value("no JSON"), Value::from("no JSON"));
    }
}
