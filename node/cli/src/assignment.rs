//! `NAME=JSON` on the command line, and values as they come back.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::echo::{quoted, shortened};
use crate::error::CommandError;
use crate::object::Object;
use crate::verbatim::{stored, written};

/// Parses one assignment.
pub fn parse(text: &str) -> Result<(String, String), String> {
    let (name, json) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("write NAME=JSON")?;
    checked(json).map_err(|why| format!("{why}: {}='\"text\"'", shortened(name)))?;
    Ok((name.to_owned(), json.to_owned()))
}

/// Whether a text is JSON.
pub fn checked(json: &str) -> Result<(), String> {
    let read = serde_json::from_str::<IgnoredAny>(json);
    read.map(drop).map_err(|error| format!("{} is no JSON ({error}); text needs quotes", quoted(json)))
}

/// Of two values under one name one would be lost without a word.
pub fn once(values: Vec<(String, String)>) -> Result<BTreeMap<String, String>, CommandError> {
    let mut map = BTreeMap::new();
    for (name, value) in values {
        if map.contains_key(&name) {
            return Err(CommandError::usage(format!("--set {} is given twice", shortened(&name))));
        }
        map.insert(name, value);
    }
    Ok(map)
}

/// Values are JSON texts, which stay as they were typed; one that is not, from a newer node, is shown as it is.
pub fn object(values: &BTreeMap<String, String>) -> Box<RawValue> {
    written(&Object(values.iter().map(|(name, text)| (name.clone(), stored(text))).collect()))
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
    }

    #[test]
    fn a_value_comes_back_with_the_digits_that_were_typed() {
        let typed = [parse("long=123456789012345678901234567890"), parse("wide=1e400")].map(|one| one.expect("JSON"));
        let shown = object(&once(typed.into()).expect("two names"));
        assert_eq!(shown.get(), r#"{"long":123456789012345678901234567890,"wide":1e400}"#);
    }
}
