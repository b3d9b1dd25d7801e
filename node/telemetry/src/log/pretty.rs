//! Lines for people: time, level, spans, target, message, fields.

use std::fmt::Write;

use serde_json::Value;
use tracing::Level;

use super::fields::Fields;
use super::{Line, timestamp};

pub(super) fn write(line: &Line<'_>, color: bool) -> String {
    let mut text = String::with_capacity(160);
    let (paint, plain) = if color { (paint(line.level), "\x1b[0m") } else { ("", "") };
    // Writing to a string does not fail.
    let _ = write!(text, "{}  {paint}{:>5}{plain} ", timestamp(line.time), line.level);
    for (name, fields) in line.spans {
        text.push_str(name);
        if !fields.is_empty() {
            text.push('{');
            pairs(&mut text, fields);
            text.push('}');
        }
        text.push_str(": ");
    }
    let _ = write!(text, "{}:", line.target);
    if let Some(message) = line.message {
        text.push(' ');
        harmless(&mut text, message);
    }
    if !line.fields.is_empty() {
        text.push(' ');
        pairs(&mut text, line.fields);
    }
    if let Some(trace) = line.trace {
        let _ = write!(text, " trace_id={} span_id={}", trace.trace_id(), trace.span_id());
    }
    text.push('\n');
    text
}

fn paint(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}

fn pairs(text: &mut String, fields: &Fields) {
    for (place, (name, value)) in fields.iter().enumerate() {
        if place > 0 {
            text.push(' ');
        }
        text.push_str(name);
        text.push('=');
        match value {
            Value::String(value) => harmless(text, value),
            value => text.push_str(&value.to_string()),
        }
    }
}

/// Text without what would steer a terminal. Lines stay lines: tracebacks are to be read.
fn harmless(text: &mut String, value: &str) {
    for letter in value.chars() {
        if letter.is_control() && letter != '\n' && letter != '\t' {
            text.extend(letter.escape_default());
        } else {
            text.push(letter);
        }
    }
}
