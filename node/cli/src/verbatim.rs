//! JSON texts as somebody wrote them. What is stored is printed with its very digits: a value of `serde_json` would make a rounded
//! float of a long integer, and nothing at all of `1e400`, which Python reads.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

/// Deeper brackets get no more space: the text would grow with the square of its depth.
const INDENTED_MAX: usize = 64;

/// A stored text, on one line; one that is not JSON, from a newer node, as a text.
pub fn stored(text: &str) -> Box<RawValue> {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(value) => RawValue::from_string(respaced(value.get(), Form::Line)).unwrap_or_else(|_| written(text)),
        Err(_) => written(text),
    }
}

/// What is made here. Nothing that is given has no JSON form.
pub fn written(value: &(impl Serialize + ?Sized)) -> Box<RawValue> {
    to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// A value as a person writes it: text without quotes, nothing for null, letters instead of their numbers.
pub fn plain(value: &RawValue) -> String {
    match value.get() {
        "null" => String::new(),
        text if text.starts_with('"') => serde_json::from_str(text).unwrap_or_else(|_| text.to_owned()),
        text => respaced(text, Form::ReadableLine),
    }
}

/// JSON over several lines, for people.
pub fn indented(json: &str) -> String {
    respaced(json, Form::Indented)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Nothing changes but the space between tokens.
    Line,
    /// And `\u4e16` is shown as the letter that it is.
    ReadableLine,
    Indented,
}

fn respaced(json: &str, form: Form) -> String {
    let mut text = String::with_capacity(json.len());
    let break_line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.push_str(&"  ".repeat(depth.min(INDENTED_MAX)));
    };
    let is_indented = form == Form::Indented;
    let (mut depth, mut is_open) = (0_usize, false);
    let mut rest = json;
    while let Some(letter) = rest.chars().next() {
        let token = &rest[..token_length(rest)];
        rest = &rest[token.len()..];
        if letter.is_ascii_whitespace() {
            continue;
        }
        let closes = matches!(letter, '}' | ']');
        depth = depth.saturating_sub(usize::from(closes));
        // What is empty stays on its line.
        if is_indented && is_open != closes {
            break_line(&mut text, depth);
        }
        is_open = matches!(letter, '{' | '[');
        depth += usize::from(is_open);
        match letter {
            '"' if form != Form::Line => text.push_str(&readable(token)),
            _ => text.push_str(token),
        }
        match letter {
            ',' if is_indented => break_line(&mut text, depth),
            ':' if is_indented => text.push(' '),
            _ => {}
        }
    }
    text
}

/// The bytes of what a text of JSON begins with: a whole string, or one character.
fn token_length(json: &str) -> usize {
    if !json.starts_with('"') {
        return json.chars().next().map_or(0, char::len_utf8);
    }
    let mut is_escaped = false;
    let end = json.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    });
    end.map_or(json.len(), |end| end + 2)
}

/// A string of JSON with letters instead of their numbers. Half of a letter stays as it is.
fn readable(string: &str) -> String {
    serde_json::from_str::<Value>(string).map_or_else(|_| string.to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_keep_their_digits_and_texts_their_escapes() {
        for text in ["123456789012345678901234567890", "1e400", "1.10", "-0.0", r#""\u00e9 \" \\""#, r#"{"a":1,"a":2}"#]
        {
            assert_eq!(stored(text).get(), text);
        }
        assert_eq!(stored("no JSON").get(), "\"no JSON\"");
    }

    #[test]
    fn a_stored_value_takes_one_line() {
        let text = "{\n  \"a b\": [1,\t2 ],\r\n \"c\\\" : d\": {} }";
        assert_eq!(stored(text).get(), r#"{"a b":[1,2],"c\" : d":{}}"#);
    }

    #[test]
    fn people_see_text_without_quotes_and_nothing_for_null() {
        let shown = |text: &str| plain(&stored(text));
        assert_eq!([shown("null"), shown(r#""a\nb""#), shown("1e400")], ["", "a\nb", "1e400"]);
        // What no text of Rust can hold.
        assert_eq!(shown(r#""\ud800""#), r#""\ud800""#);
        assert_eq!(shown(r#"{"a": ["\u4e16", 1e400, "\u001b"]}"#), r#"{"a":["世",1e400,"\u001b"]}"#);
    }

    proptest! {
        #[test]
        fn space_is_all_that_changes(numbers in prop::collection::vec(any::<i64>(), 0..4), text in "\\PC{0,12}") {
            let value = serde_json::json!({"a": numbers, "b": {"c": text, "d": [], "e": [[{}]]}});
            let pretty = format!("{value:#}");
            prop_assert_eq!(&indented(&value.to_string()), &pretty);
            let expected = value.to_string();
            let on_one_line = stored(&pretty);
            prop_assert_eq!(on_one_line.get(), expected.as_str());
            prop_assert_eq!(plain(&on_one_line), expected);
        }
    }
}
