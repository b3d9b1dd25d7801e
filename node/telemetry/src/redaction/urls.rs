//! Passwords in URLs: `postgres://user:password@host/`.

use std::ops::Range;

use super::REDACTED;
use super::value::looks_made;

pub(super) fn passwords(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut place = 0;
    while let Some(sign) = text[place..].find("://") {
        let start = place + sign + "://".len();
        place = start;
        let ends = |letter: char| {
            letter.is_whitespace()
                || letter.is_control()
                || matches!(letter, '/' | '?' | '#' | '"' | '\'' | '<' | '>' | '\\')
        };
        let authority = &text[start..start + text[start..].find(ends).unwrap_or(text.len() - start)];
        let Some(at) = authority.rfind('@') else { continue };
        let range = match authority[..at].find(':') {
            Some(colon) => start + colon + 1..start + at,
            // A key may stand alone where the user's name belongs.
            None if looks_made(&authority[..at]) && at >= 16 => start..start + at,
            None => continue,
        };
        if !range.is_empty() && &text[range.clone()] != REDACTED {
            place = range.end;
            found.push(range);
        }
    }
    found
}
