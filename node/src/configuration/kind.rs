//! What the value of a key may be: one answer for the check, for people, and for the JSON Schema.

use std::net::SocketAddr;

use serde_json::{Value as Json, json};
use toml::Value;

use super::units::{SECONDS_END, Seconds, Size, WrittenSize};

/// Kinds of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// A list of texts.
    Texts,
    /// A file or directory, relative to the file that names it.
    Beside,
    /// A list of those.
    AllBeside,
    /// IP address and port.
    Address,
    /// Host, by name or address, and port.
    HostPort,
    /// A list of those.
    HostPorts,
    /// A whole number.
    Count {
        least: u32,
        most: u32,
    },
    Seconds {
        zero: bool,
    },
    /// Bytes.
    Size,
    Switch,
    /// One of these words.
    Choice(&'static [&'static str]),
}

impl Kind {
    /// Whether a value may stand in the file.
    pub(crate) fn accepts(self, value: &Value) -> bool {
        let each = |accepts: fn(&str) -> bool| {
            value.as_array().is_some_and(|list| list.iter().all(|one| one.as_str().is_some_and(accepts)))
        };
        match self {
            Self::Text => value.is_str(),
            Self::Texts => each(|_| true),
            Self::AllBeside => each(|text| !text.is_empty()),
            Self::Beside => value.as_str().is_some_and(|text| !text.is_empty()),
            Self::Address => value.as_str().is_some_and(|text| text.parse::<SocketAddr>().is_ok()),
            Self::HostPort => value.as_str().is_some_and(is_host_and_port),
            Self::HostPorts => each(is_host_and_port),
            Self::Count { least, most } => {
                value.as_integer().is_some_and(|number| (i64::from(least)..=i64::from(most)).contains(&number))
            }
            Self::Seconds { zero } => {
                let seconds = value.as_float().or_else(|| Some(value.as_integer()? as f64));
                seconds.is_some_and(|seconds| (zero || seconds > 0.0) && Seconds::try_from(seconds).is_ok())
            }
            Self::Size => value.clone().try_into::<WrittenSize>().is_ok_and(|size| Size::try_from(size).is_ok()),
            Self::Switch => value.is_bool(),
            Self::Choice(words) => value.as_str().is_some_and(|text| words.contains(&text)),
        }
    }

    /// What is allowed: it follows "must be".
    pub(crate) fn allowed(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Texts => "a list of texts".to_owned(),
            Self::AllBeside => "a list of paths".to_owned(),
            Self::Beside => "a path".to_owned(),
            Self::Address => "an IP address and a port, like \"127.0.0.1:7400\"".to_owned(),
            Self::HostPort => "HOST:PORT, like \"node-1.example:7410\"".to_owned(),
            Self::HostPorts => "a list of HOST:PORT, like [\"node-1.example:7410\"]".to_owned(),
            Self::Count { least, most: u32::MAX } => format!("a whole number, {least} or more"),
            Self::Count { least, most } => format!("a whole number between {least} and {most}"),
            Self::Seconds { zero: true } => "a number of seconds, 0 for never".to_owned(),
            Self::Seconds { zero: false } => "a number of seconds, more than 0".to_owned(),
            Self::Size => "a size, like \"512MiB\" or \"2GiB\", or a number of bytes".to_owned(),
            Self::Switch => "true or false".to_owned(),
            Self::Choice(words) => format!("one of \"{}\"", words.join("\", \"")),
        }
    }

    /// The same for a program.
    pub(crate) fn schema(self) -> Json {
        const HOST_PORT: &str = "^.+:[0-9]{1,5}$";
        match self {
            Self::Text => json!({ "type": "string" }),
            Self::Texts => json!({ "type": "array", "items": { "type": "string" } }),
            Self::AllBeside => json!({ "type": "array", "items": { "type": "string", "minLength": 1 } }),
            Self::Beside => json!({ "type": "string", "minLength": 1 }),
            Self::Address => {
                json!({ "type": "string", "pattern": r"^(\[[0-9A-Fa-f:.%]+\]|[0-9.]+):[0-9]{1,5}$" })
            }
            Self::HostPort => json!({ "type": "string", "pattern": HOST_PORT }),
            Self::HostPorts => json!({ "type": "array", "items": { "type": "string", "pattern": HOST_PORT } }),
            Self::Count { least, most } => json!({ "type": "integer", "minimum": least, "maximum": most }),
            Self::Seconds { zero: true } => {
                json!({ "type": "number", "minimum": 0, "exclusiveMaximum": SECONDS_END })
            }
            Self::Seconds { zero: false } => {
                json!({ "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": SECONDS_END })
            }
            Self::Size => json!({ "anyOf": [
                { "type": "integer", "minimum": 1 },
                { "type": "string", "pattern": r"^\s*[0-9]+\s*(B|KiB|MiB|GiB)?\s*$" },
            ] }),
            Self::Switch => json!({ "type": "boolean" }),
            Self::Choice(words) => json!({ "enum": words }),
        }
    }

    /// A value as an environment variable has it: as TOML writes it, else, where text is wanted, the text itself, and where a
    /// list of texts is wanted, its parts between commas.
    pub(crate) fn of_text(self, text: &str) -> Value {
        let written = written(text);
        let own = || Value::String(text.to_owned());
        match self {
            Self::Count { .. } | Self::Seconds { .. } | Self::Size | Self::Switch => written.unwrap_or_else(own),
            Self::Texts | Self::HostPorts | Self::AllBeside => written.filter(Value::is_array).unwrap_or_else(|| {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                Value::Array(parts.map(|part| Value::String(part.to_owned())).collect())
            }),
            Self::Text | Self::Beside | Self::Address | Self::HostPort | Self::Choice(_) => {
                written.filter(Value::is_str).unwrap_or_else(own)
            }
        }
    }
}

/// Whether a text is HOST:PORT.
pub(crate) fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// A value as TOML writes it.
fn written(text: &str) -> Option<Value> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(kind: Kind, text: &str) -> bool {
        kind.accepts(&text.parse().expect("a value of TOML"))
    }

    #[test]
    fn a_kind_takes_its_own_values_and_no_others() {
        let count = Kind::Count { least: 1, most: 64 };
        let (seconds, or_never) = (Kind::Seconds { zero: false }, Kind::Seconds { zero: true });
        for (kind, good, bad) in [
            (Kind::Text, vec!["\"\"", "\"a\""], vec!["1", "[\"a\"]", "true"]),
            (Kind::Texts, vec!["[]", "[\"a\", \"b\"]"], vec!["\"a\"", "[1]"]),
            (Kind::Beside, vec!["\"data\""], vec!["\"\"", "3"]),
            (Kind::AllBeside, vec!["[]", "[\"a\", \"/b\"]"], vec!["\"a\"", "[\"\"]", "[1]"]),
            (
                Kind::Address,
                vec!["\"127.0.0.1:0\"", "\"[::1]:7400\""],
                vec!["\"localhost:7400\"", "\"127.0.0.1\"", "7400"],
            ),
            (Kind::HostPort, vec!["\"a:1\"", "\"[::1]:1\""], vec!["\"a\"", "\":1\"", "\"a:99999\""]),
            (Kind::HostPorts, vec!["[\"a:1\"]", "[]"], vec!["[\"a\"]", "\"a:1\""]),
            (count, vec!["1", "64"], vec!["0", "65", "-1", "1.0", "\"1\""]),
            (seconds, vec!["1", "0.5"], vec!["0", "-1", "nan", "inf", "1e300", "\"1\""]),
            (or_never, vec!["0", "0.0", "3"], vec!["-1"]),
            (Kind::Size, vec!["1", "\"512MiB\""], vec!["0", "\"lots\"", "-1", "true"]),
            (Kind::Switch, vec!["true"], vec!["1", "\"true\""]),
            (Kind::Choice(&["a", "b"]), vec!["\"a\"", "\"b\""], vec!["\"c\"", "\"\"", "true"]),
        ] {
            for text in good {
                assert!(accepts(kind, text), "{kind:?} takes {text}");
            }
            for text in bad {
                assert!(!accepts(kind, text), "{kind:?} refuses {text}");
            }
        }
    }

    #[test]
    fn a_variable_needs_no_quotes() {
        let text = |text: &str| Value::String(text.to_owned());
        assert_eq!(Kind::Address.of_text("127.0.0.1:1"), text("127.0.0.1:1"));
        assert_eq!(Kind::Address.of_text("\"127.0.0.1:1\""), text("127.0.0.1:1"));
        assert_eq!(Kind::Text.of_text("7"), text("7"));
        assert_eq!(Kind::Text.of_text("true"), text("true"));
        assert_eq!(Kind::Switch.of_text("true"), Value::Boolean(true));
        assert_eq!(Kind::Count { least: 0, most: 9 }.of_text(" 7 "), Value::Integer(7));
        assert_eq!(Kind::Size.of_text("2GiB"), text("2GiB"));
        let list = Value::Array(vec![text("a:1"), text("b:1")]);
        assert_eq!(Kind::HostPorts.of_text("a:1, b:1"), list);
        assert_eq!(Kind::HostPorts.of_text("[\"a:1\", \"b:1\"]"), list);
        assert_eq!(Kind::Texts.of_text(""), Value::Array(Vec::new()));
        assert_eq!(Kind::AllBeside.of_text("a:1, b:1"), list);
        assert_eq!(Kind::Choice(&["on", "off"]).of_text("off"), text("off"));
    }
}
