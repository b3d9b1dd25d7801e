//! JSON Lines. A row leaves with the text of its values unchanged (but for white space), so that Python sees the very
//! digits of the file: a round trip through a 64-bit float would change long integers.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::rows::{ROW_LIMIT_BYTES, Rows};
use super::{invalid, read_failed};
use crate::error::CommandError;

/// Deeper values reach the limit of Python's stack in one place or another.
const DEPTH_LIMIT: u32 = 200;

/// A line with the white space that goes.
const LINE_LIMIT_BYTES: u64 = 2 * ROW_LIMIT_BYTES as u64;

/// Reads all lines; empty ones are skipped.
pub fn read(path: &Path, file: File, rows: &mut Rows) -> Result<(), CommandError> {
    let mut reader = BufReader::with_capacity(256 << 10, file);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = reader
            .by_ref()
            .take(LINE_LIMIT_BYTES + 1)
            .read_until(b'\n', &mut line)
            .map_err(|error| read_failed(path, &error))?;
        if read == 0 {
            break;
        }
        let at = |what: &str| invalid(path, Some(("line", number)), what);
        if read as u64 > LINE_LIMIT_BYTES {
            return Err(at(&format!("longer than {} MiB", ROW_LIMIT_BYTES >> 20)));
        }
        let text = text_of(&line, number).map_err(|what| at(&what))?;
        if text.is_empty() {
            continue;
        }
        let keys = keys_of(text).map_err(|what| at(&what))?;
        compact(text, rows.buffer()).map_err(|what| at(&what))?;
        if let ControlFlow::Break(()) = rows.end_row(number, keys.0.iter().map(Cow::as_ref))? {
            break;
        }
    }
    Ok(())
}

fn text_of(line: &[u8], number: u64) -> Result<&str, String> {
    let text = std::str::from_utf8(line).map_err(|error| format!("not UTF-8 (byte {})", error.valid_up_to() + 1))?;
    let text = match number {
        1 => text.strip_prefix('\u{feff}').unwrap_or(text),
        _ => text,
    };
    Ok(text.trim_matches([' ', '\t', '\r', '\n']))
}

/// The keys of an object; its values are checked and skipped.
struct Keys<'a>(Vec<Cow<'a, str>>);

impl<'de> Deserialize<'de> for Keys<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeysVisitor;
        impl<'de> Visitor<'de> for KeysVisitor {
            type Value = Keys<'de>;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Keys<'de>, M::Error> {
                let mut keys = Vec::with_capacity(map.size_hint().unwrap_or(8));
                while let Some(Key(key)) = map.next_key()? {
                    map.next_value::<IgnoredAny>()?;
                    keys.push(key);
                }
                Ok(Keys(keys))
            }
        }
        deserializer.deserialize_map(KeysVisitor)
    }
}

/// Borrowed where the key has no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

fn keys_of(text: &str) -> Result<Keys<'_>, String> {
    match serde_json::from_str::<Keys<'_>>(text) {
        Ok(keys) => Ok(keys),
        Err(error) => Err(explain(text, &error)),
    }
}

fn explain(text: &str, error: &serde_json::Error) -> String {
    if serde_json::from_str::<IgnoredAny>(text).is_ok() {
        let found = match text.as_bytes()[0] {
            b'[' => "a list",
            b'"' => "a string",
            b't' | b'f' => "a boolean",
            b'n' => "null",
            _ => "a number",
        };
        return format!("an object is expected, found {found}");
    }
    let from = text.floor_char_boundary(error.column().saturating_sub(2));
    let rest = &text[from..text.ceil_char_boundary((from + 12).min(text.len()))];
    for word in ["NaN", "Infinity"] {
        if rest.contains(word) {
            return format!("{word} is not JSON (column {}); write null or leave the row out", error.column());
        }
    }
    let message = error.to_string();
    let what = message.split(" at line ").next().unwrap_or(&message);
    format!("not JSON: {what} (column {})", error.column())
}

/// Copies valid JSON without the white space between its parts.
fn compact(text: &str, out: &mut Vec<u8>) -> Result<(), String> {
    let mut depth = 0_u32;
    let (mut in_string, mut escaped) = (false, false);
    out.reserve(text.len() + 1);
    for &byte in text.as_bytes() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if matches!(byte, b' ' | b'\t' | b'\r') {
            continue;
        } else {
            in_string = byte == b'"';
            match byte {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            if depth > DEPTH_LIMIT {
                return Err(format!("nested more than {DEPTH_LIMIT} deep"));
            }
        }
        out.push(byte);
    }
    Ok(())
}
