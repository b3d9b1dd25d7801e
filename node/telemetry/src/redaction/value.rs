//! Where the value beside a name begins and ends, and whether it can be a secret at all.

use std::ops::Range;

use super::REDACTED;

/// The value at the start of `text`: the range of what is to be taken out, without its quotes, and whether it was quoted.
pub(super) fn find(text: &str) -> Option<(Range<usize>, bool)> {
    let start = wrapping(text);
    let rest = &text[start..];
    if rest.starts_with(REDACTED) {
        return None;
    }
    let (range, quoted) = match (quote(rest), rest.chars().next()?) {
        (Some(mark), _) => (quoted(rest, mark), true),
        (None, '[' | '{') => (bracketed(rest), true),
        (None, _) => (bare(rest), false),
    };
    (!range.is_empty()).then(|| (start + range.start..start + range.end, quoted))
}

/// Values that say that there is none.
pub(super) fn is_nothing(value: &str) -> bool {
    let value = value.trim_matches(['"', '\'']);
    value.is_empty()
        || value == REDACTED
        || value.chars().all(|letter| letter == '*')
        || ["true", "false", "none", "null", "nil", "some"].iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// A count, a position or a price rather than a token.
pub(super) fn is_short_number(value: &str) -> bool {
    value.chars().filter(char::is_ascii_digit).count() <= 5 && value.parse::<f64>().is_ok()
}

/// Long, with letters and digits: nobody's prose.
pub(super) fn looks_made(value: &str) -> bool {
    value.len() >= 8
        && value.bytes().any(|byte| byte.is_ascii_digit())
        && value.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// The quotation mark at the start, with the backslashes of text that was quoted before.
pub(super) fn quote(text: &str) -> Option<&str> {
    let backslashes = text.bytes().take_while(|byte| *byte == b'\\').count();
    matches!(text.as_bytes().get(backslashes), Some(b'"' | b'\'')).then(|| &text[..=backslashes])
}

/// The length of what Debug and Python put before a value: `Some(`, `b"`.
fn wrapping(text: &str) -> usize {
    let mut length = 0;
    loop {
        let rest = &text[length..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        match &rest[letters..] {
            inner if inner.starts_with('(') => length += letters + 1,
            inner if letters <= 2 && quote(inner).is_some() => return length + letters,
            _ => return length,
        }
    }
}

fn quoted(text: &str, mark: &str) -> Range<usize> {
    let start = mark.len();
    let bytes = text.as_bytes();
    let mut place = start;
    while place < bytes.len() {
        if text.is_char_boundary(place) && text[place..].starts_with(mark) {
            return start..place;
        }
        // Within plain quotes a backslash takes the next character with it.
        place += if mark.len() == 1 && bytes[place] == b'\\' { 2 } else { 1 };
    }
    start..text.len()
}

/// A list or an object goes as a whole; one without an end takes the rest of the text with it.
fn bracketed(text: &str) -> Range<usize> {
    let mut depth = 0_usize;
    for (place, letter) in text.char_indices() {
        match letter {
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return 0..place + letter.len_utf8();
        }
    }
    0..text.len()
}

fn bare(text: &str) -> Range<usize> {
    let ends = |letter: char| {
        letter.is_whitespace()
            || letter.is_control()
            || matches!(letter, ',' | ';' | '&' | '"' | '\'' | '<' | '>' | ')' | ']' | '}' | '|')
    };
    let end = text.find(ends).unwrap_or(text.len());
    // A sentence's stop is not part of what it names.
    0..text[..end].trim_end_matches(['.', ':', '!', '?', '\\']).len()
}
