//! A Python type as text, as far as a value of JSON can be held against it.

mod reader;

use serde_json::Value;

use super::TypeNames;
use crate::echo::quoted;

/// Deeper ones are refused.
pub(super) const DEPTH_MAX: usize = 16;

/// What is known of a type.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Annotation {
    /// Nothing that JSON could contradict.
    Anything,
    /// `None`.
    Nothing,
    Text,
    Whole,
    Number,
    Truth,
    /// A list, tuple or set; its elements.
    Elements(Box<Self>),
    /// A dict; its values.
    Values(Box<Self>),
    OneOf(Vec<Self>),
    /// `Literal[...]`.
    Among(Vec<Value>),
}

impl Annotation {
    /// Reads a type.
    pub(super) fn read(text: &str, names: TypeNames) -> Result<Self, String> {
        reader::read(text, names)
    }

    /// What is wrong with a value; `place` is where it stands.
    pub(super) fn check(&self, place: &str, value: &Value) -> Result<(), String> {
        let is = |fits: bool, wanted: &str| {
            let wrong = || format!("{place} is {wanted}, not {}", kind(value));
            if fits { Ok(()) } else { Err(wrong()) }
        };
        match self {
            Self::Anything => Ok(()),
            Self::Nothing => is(value.is_null(), "None"),
            Self::Text => is(value.is_string(), "a text"),
            Self::Whole => is(is_whole(value), "a whole number"),
            Self::Number => is(value.is_number(), "a number"),
            Self::Truth => is(value.is_boolean(), "true or false"),
            Self::Elements(element) => {
                let Value::Array(elements) = value else { return is(false, "a list") };
                elements
                    .iter()
                    .enumerate()
                    .try_for_each(|(index, value)| element.check(&format!("{place}[{index}]"), value))
            }
            Self::Values(inner) => {
                let Value::Object(values) = value else { return is(false, "an object") };
                values.iter().try_for_each(|(key, value)| inner.check(&format!("{place}[{}]", quoted(key)), value))
            }
            Self::OneOf(choices) if choices.iter().any(|choice| choice.check(place, value).is_ok()) => Ok(()),
            Self::OneOf(choices) => {
                match choices.iter().filter(|choice| **choice != Self::Nothing).collect::<Vec<_>>()[..] {
                    // Of an optional value the other half says what is wrong.
                    [only] => only.check(place, value),
                    _ => is(false, "of one of its types"),
                }
            }
            Self::Among(choices) if choices.contains(value) => Ok(()),
            Self::Among(choices) => {
                let choices = choices.iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
                Err(format!("{place} is one of {choices}, not {}", shown(value)))
            }
        }
    }
}

/// 2.0 is one, as pydantic has it; so are those that are too large for an integer of 64 bits.
fn is_whole(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

/// A value that is short enough for a message.
fn shown(value: &Value) -> String {
    match value.to_string() {
        long if long.len() > 64 => kind(value).to_owned(),
        short => short,
    }
}

/// What a value of JSON is called.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
