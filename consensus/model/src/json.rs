//! What JSON of callers may be, so that whoever reads it back can: Python reads it with `msgspec`, and refuses more than a syntax does.
//!
//! One pass over the text, which builds nothing and keeps every digit as it was written. Checked where JSON comes in, never when
//! stored bytes are read: what was let in stays what it is.

use std::fmt::Write;

use serde::de::IgnoredAny;

/// Lists and objects within each other. Other readers give up at 128, and Python at about a thousand.
pub const JSON_DEPTH_MAX: usize = 120;

/// Bytes of a whole number: as many as Python takes.
pub const JSON_INTEGER_BYTES_MAX: usize = 4300;

/// Bytes of a name or a number that are shown.
const SHOWN: usize = 40;

/// Why a text is no JSON that can be read back. Each goes on behind the name of what was checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJson {
    /// Not even by its syntax.
    #[error("is no JSON: {0}")]
    Syntax(String),
    /// Infinite where it is read.
    #[error("holds {number}{place}, which is beyond the numbers of 64 bits with a point: write it as a text")]
    Infinite {
        /// Its begin.
        number: String,
        /// Where.
        place: String,
    },
    /// Of more digits than Python reads.
    #[error(
        "holds a whole number of {bytes} digits{place}, and Python reads {JSON_INTEGER_BYTES_MAX}: write it as a text"
    )]
    LongInteger {
        /// How many.
        bytes: usize,
        /// Where.
        place: String,
    },
    /// No Unicode.
    #[error(
        "holds a text{place} with the half of a surrogate pair, \\u{unit:04x}, which is no character: leave it out"
    )]
    Surrogate {
        /// Which half.
        unit: u16,
        /// Where.
        place: String,
    },
    /// Too many lists and objects within each other.
    #[error("is nested more than {JSON_DEPTH_MAX} deep{place}: make it flatter, or store it as a text")]
    Deep {
        /// Where.
        place: String,
    },
}

/// Whether a text is JSON that everybody can read back.
///
/// # Errors
/// What is wrong, and where.
pub fn check_json(text: &str) -> Result<(), InvalidJson> {
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| InvalidJson::Syntax(error.to_string()))?;
    let mut walk = Walk::new(text);
    while walk.leaf()?.is_some() {}
    Ok(())
}

/// The same of bytes that may be no text at all.
///
/// # Errors
/// What is wrong, and where.
pub fn check_json_bytes(bytes: &[u8]) -> Result<(), InvalidJson> {
    check_json(std::str::from_utf8(bytes).map_err(|error| InvalidJson::Syntax(error.to_string()))?)
}

/// A list or an object that is being walked through.
pub(crate) enum Around<'a> {
    /// At this element.
    List { index: usize },
    /// At the value of this name, which stands here as it is written, or before the next name.
    Object { key: &'a str, is_key_next: bool },
}

/// Goes through a text whose syntax is known to be right.
pub(crate) struct Walk<'a> {
    text: &'a str,
    at: usize,
    around: Vec<Around<'a>>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0, around: Vec::new() }
    }

    /// The next text or number among the values, as it is written. `None`: there is no other one.
    pub(crate) fn leaf(&mut self) -> Result<Option<&'a str>, InvalidJson> {
        while let Some(&byte) = self.text.as_bytes().get(self.at) {
            match byte {
                b'"' => {
                    if let Some(text) = self.string()? {
                        return Ok(Some(text));
                    }
                }
                b'-' | b'0'..=b'9' => return self.number().map(Some),
                b'[' => self.enter(Around::List { index: 0 })?,
                b'{' => self.enter(Around::Object { key: "", is_key_next: true })?,
                b']' | b'}' => {
                    self.around.pop();
                    self.at += 1;
                }
                b',' => self.next(),
                // Space, a colon, or a letter of true, false and null.
                _ => self.at += 1,
            }
        }
        Ok(None)
    }

    /// What the last leaf stands in, from the outside on.
    pub(crate) fn around(&self) -> &[Around<'a>] {
        &self.around
    }

    /// Where that is; empty: the value itself. Of many levels the last ones say most.
    pub(crate) fn place(&self) -> String {
        const LEVELS: usize = 8;
        let left_out = self.around.len().saturating_sub(LEVELS);
        let mut place = if left_out > 0 { "...".to_owned() } else { String::new() };
        for around in self.around.iter().skip(left_out) {
            let dot = if place.is_empty() { "" } else { "." };
            // Writing into a text does not fail.
            let _ = match around {
                Around::List { index } => write!(place, "[{index}]"),
                Around::Object { is_key_next: true, .. } => write!(place, "{dot}(a name)"),
                Around::Object { key, .. } => write!(place, "{dot}{}", shown(key).escape_debug()),
            };
        }
        place
    }

    fn enter(&mut self, around: Around<'a>) -> Result<(), InvalidJson> {
        if self.around.len() == JSON_DEPTH_MAX {
            return Err(InvalidJson::Deep { place: self.behind() });
        }
        self.around.push(around);
        self.at += 1;
        Ok(())
    }

    fn next(&mut self) {
        match self.around.last_mut() {
            Some(Around::List { index }) => *index += 1,
            Some(Around::Object { is_key_next, .. }) => *is_key_next = true,
            None => {}
        }
        self.at += 1;
    }

    /// `None`: it was the name of a value.
    fn string(&mut self) -> Result<Option<&'a str>, InvalidJson> {
        let (text, begin) = (self.text, self.at);
        let mut at = begin + 1;
        // The first half of a pair, which the second one has to follow at once.
        let mut half = None;
        loop {
            let bytes = &text.as_bytes()[at.min(text.len())..];
            let unit = match bytes {
                [b'\\', b'u', digits @ ..] => digits.get(..4).map(unit),
                _ => None,
            };
            half = match (half, unit) {
                (Some(_), Some(0xDC00..=0xDFFF)) => None,
                (Some(half), _) | (None, Some(half @ 0xDC00..=0xDFFF)) => return Err(self.half(half)),
                (None, Some(half @ 0xD800..=0xDBFF)) => Some(half),
                (None, _) => None,
            };
            at += match bytes {
                [] | [b'"', ..] => break,
                [b'\\', b'u', ..] => 6,
                [b'\\', ..] => 2,
                _ => 1,
            };
        }
        self.at = at + 1;
        if let Some(Around::Object { key, is_key_next: is_key_next @ true }) = self.around.last_mut() {
            *key = text.get(begin + 1..at).unwrap_or_default();
            *is_key_next = false;
            return Ok(None);
        }
        Ok(text.get(begin..=at))
    }

    fn half(&self, unit: u16) -> InvalidJson {
        InvalidJson::Surrogate { unit, place: self.behind() }
    }

    fn number(&mut self) -> Result<&'a str, InvalidJson> {
        let rest = &self.text[self.at..];
        let end = rest.find(|character| !matches!(character, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'));
        let number = &rest[..end.unwrap_or(rest.len())];
        if !number.contains(['.', 'e', 'E']) {
            if number.len() > JSON_INTEGER_BYTES_MAX {
                return Err(InvalidJson::LongInteger { bytes: number.len(), place: self.behind() });
            }
        } else if number.parse::<f64>().is_ok_and(f64::is_infinite) {
            return Err(InvalidJson::Infinite { number: shown(number), place: self.behind() });
        }
        self.at += number.len();
        Ok(number)
    }

    /// The place as it stands in a sentence.
    fn behind(&self) -> String {
        let place = self.place();
        if place.is_empty() { place } else { format!(" at {place}") }
    }
}

/// Four hexadecimal digits.
fn unit(digits: &[u8]) -> u16 {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).unwrap_or_default();
    digits.iter().fold(0, |unit, byte| (unit << 4) | u16::try_from(digit(byte)).unwrap_or_default())
}

fn shown(text: &str) -> String {
    if text.len() <= SHOWN { text.to_owned() } else { format!("{}...", &text[..text.floor_char_boundary(SHOWN)]) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(text: &str) -> String {
        check_json(text).expect_err(text).to_string()
    }

    fn nested(depth: usize) -> String {
        format!("{}{}", "[".repeat(depth), "]".repeat(depth))
    }

    #[test]
    fn what_python_can_read_back_is_taken() {
        let long = "1".repeat(JSON_INTEGER_BYTES_MAX);
        let deep = nested(JSON_DEPTH_MAX);
        for good in [
            "null",
            " [1, -0.5, 1e308, 1E-400] ",
            r#""\ud83d\ude00 \\ud800 \u0000 ü""#,
            r#"{"a": {"b": [true, false, null]}, "a\"}": "]["}"#,
            "123456789012345678901234567890",
            &long,
            &deep,
            "{}",
            "[]",
        ] {
            assert_eq!(check_json(good), Ok(()), "{good}");
        }
        let wide = format!("[{}[]]", "[[]],".repeat(1000));
        assert_eq!(check_json(&wide), Ok(()), "what is closed nests nothing");
    }

    #[test]
    fn a_number_that_is_not_finite_is_named_with_its_place() {
        assert_eq!(
            refused(r#"{"lm": [0, {"t": 1e400}]}"#),
            "holds 1e400 at lm[1].t, which is beyond the numbers of 64 bits with a point: write it as a text"
        );
        assert!(refused("-1E999").starts_with("holds -1E999, which"));
        assert!(refused(&format!("{}.0", "9".repeat(400))).contains("9..., which"));
        let long = refused(&format!("[{}]", "1".repeat(JSON_INTEGER_BYTES_MAX + 1)));
        assert!(long.contains("4301 digits at [0]"), "{long}");
    }

    #[test]
    fn half_of_a_surrogate_pair_is_no_character() {
        for (text, says) in [
            (r#""\ud800""#, "\\ud800"),
            (r#""\uDC00x""#, "\\udc00"),
            (r#""\ud800x\udc00""#, "\\ud800"),
            (r#""\ud800\ud800\udc00""#, "\\ud800"),
            (r#""\ud800\n\udc00""#, "\\ud800"),
            (r#"{"a": ["", "\udfff"]}"#, "at a[1] with"),
            (r#"{"a": 1, "\ud83d": 2}"#, "at (a name) with"),
        ] {
            assert!(refused(text).contains(says), "{text}: {}", refused(text));
        }
    }

    #[test]
    fn nesting_has_a_bound() {
        for depth in [JSON_DEPTH_MAX + 1, 5000, 1_000_000] {
            let message = refused(&nested(depth));
            assert!(message.starts_with("is nested more than 120 deep at ...[0][0]"), "{message}");
        }
        assert!(refused(&format!("{}1{}", r#"{"a":"#.repeat(5000), "}".repeat(5000))).contains("more than 120 deep"));
    }

    #[test]
    fn what_is_no_json_says_where() {
        for bad in ["", "{", "[1,]", "NaN", "\"\u{1}\"", "1 2", "'a'", r#""\u12""#] {
            assert!(refused(bad).starts_with("is no JSON: "), "{bad}");
        }
        assert!(check_json_bytes(b"\"\xff\"").is_err_and(|error| error.to_string().contains("utf-8")));
        let message = refused(&format!(r#"{{"{}": 1e400}}"#, "ü".repeat(1000)));
        assert!(message.len() < 300, "a message is for people: {message}");
    }

    proptest! {
        #[test]
        fn whatever_is_given_it_is_refused_or_read(text in any::<String>(), json in "[\\[\\]{}:,\"\\\\u0-9eE.+dD8 -]{0,40}") {
            let _ = check_json(&text);
            if check_json(&json).is_ok() {
                // Another reader, which looks at every text and every number.
                prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{}", json);
            }
        }
    }
}
