//! The fields of an event or a span, without secrets from the first moment on.

use std::error::Error;
use std::fmt::Debug;

use serde_json::Value;
use tracing::field::{Field, Visit};

use crate::error::chain;
use crate::redaction::{REDACTED, hides_numbers, redact, redact_field};

/// Names and values in the order in which they were recorded.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    message: Option<String>,
    /// Of a record of the `log` crate: the target that it had there.
    log_target: Option<String>,
    values: Vec<(&'static str, Value)>,
}

impl Fields {
    pub(super) fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    pub(super) fn log_target(&self) -> Option<&str> {
        self.log_target.as_deref()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.values.iter().map(|(name, value)| (*name, value))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn text(&mut self, field: &Field, text: &str) {
        match field.name() {
            "message" => self.message = Some(redact(text).into_owned()),
            "log.target" => self.log_target = Some(text.to_owned()),
            // Where in the code of a dependency it was: nobody's interest.
            "log.module_path" | "log.file" | "log.line" => {}
            name => self.put(name, Value::from(redact_field(name, text).into_owned())),
        }
    }

    fn number(&mut self, field: &Field, value: Value) {
        match field.name() {
            "log.line" => {}
            name if hides_numbers(name) => self.put(name, Value::from(REDACTED)),
            name => self.put(name, value),
        }
    }

    /// What is recorded again takes the place of what was there.
    fn put(&mut self, name: &'static str, value: Value) {
        // `r#type` is how Rust writes the name `type`.
        let name = name.strip_prefix("r#").unwrap_or(name);
        match self.values.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.values.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, &format!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.text(field, &chain(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field, Value::from(value));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.number(field, Value::from(value.to_string()));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.number(field, Value::from(value.to_string()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no word for what is not a number.
        let number = serde_json::Number::from_f64(value).map_or_else(|| Value::from(value.to_string()), Value::Number);
        self.number(field, number);
    }
}
