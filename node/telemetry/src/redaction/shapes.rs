//! Credentials that can be told by what they look like.

use std::ops::Range;

/// How the keys of common services begin, and how much must follow.
const PREFIXES: &[(&str, usize)] = &[
    ("sk-", 16),
    ("sk_live_", 8),
    ("sk_test_", 8),
    ("rk_live_", 8),
    ("ghp_", 16),
    ("gho_", 16),
    ("ghu_", 16),
    ("ghs_", 16),
    ("ghr_", 16),
    ("github_pat_", 16),
    ("glpat-", 16),
    ("xoxb-", 10),
    ("xoxp-", 10),
    ("xoxa-", 10),
    ("hf_", 16),
    ("gsk_", 16),
    ("xai-", 16),
    ("pplx-", 16),
    ("nvapi-", 16),
    ("lsv2_", 16),
    ("AKIA", 16),
    ("ASIA", 16),
    ("AIza", 30),
    ("ya29.", 16),
];

/// After "Bearer" these are prose or a challenge.
const NOT_BEARERS: &[&str] = &[
    "and",
    "auth",
    "authentication",
    "authorization",
    "header",
    "is",
    "of",
    "or",
    "realm",
    "scheme",
    "token",
    "tokens",
];

/// No key is shorter than this, with its prefix.
const KEY_LENGTH_MIN: usize = 9;

const KEY_BEGINS: &str = "-----BEGIN ";
const KEY_ENDS: &str = "-----END ";

pub(super) fn credentials(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut place = 0;
    while let Some(word) = next_word(text, place) {
        let range = private_key(text, word.start).or_else(|| bearer(text, &word)).or_else(|| key(text, &word));
        place = range.as_ref().map_or(word.end, |range| range.end);
        found.extend(range);
    }
    found
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

fn next_word(text: &str, place: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let start = place + bytes[place..].iter().position(|byte| is_letter(*byte))?;
    let length = bytes[start..].iter().take_while(|byte| is_letter(**byte)).count();
    Some(start..start + length)
}

/// `sk-...` and its like, and JSON web tokens.
fn key(text: &str, word: &Range<usize>) -> Option<Range<usize>> {
    if word.len() < KEY_LENGTH_MIN {
        return None;
    }
    let ended = text[word.clone()].trim_end_matches('.');
    let whole = ended.trim_start_matches(['.', '-']);
    let start = word.start + ended.len() - whole.len();
    let known = PREFIXES.iter().any(|(prefix, least)| {
        whole
            .strip_prefix(prefix)
            .is_some_and(|rest| (rest.len() >= *least && looks_made(rest)) || (*prefix == "sk-" && is_short_key(rest)))
    });
    (known || is_web_token(whole)).then(|| start..start + whole.len())
}

/// Not the name of a function or a library: a digit, a capital, or one very long word.
fn looks_made(rest: &str) -> bool {
    rest.bytes().any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
        || rest.split(['-', '_']).any(|word| word.len() >= 16)
}

/// Shorter keys of the most common kind must have a digit: `sk-learn` is a library.
fn is_short_key(rest: &str) -> bool {
    rest.len() >= 6 && rest.bytes().any(|byte| byte.is_ascii_digit())
}

fn is_web_token(word: &str) -> bool {
    word.starts_with("eyJ") && word.len() >= 20 && word.split('.').count() == 3
}

fn bearer(text: &str, word: &Range<usize>) -> Option<Range<usize>> {
    if !text[word.clone()].eq_ignore_ascii_case("bearer") {
        return None;
    }
    let rest = &text[word.end..];
    let spaces = rest.len() - rest.trim_start_matches(' ').len();
    let is_token = |byte: u8| is_letter(byte) || matches!(byte, b'~' | b'+' | b'/' | b'=');
    let length = rest.as_bytes()[spaces..].iter().take_while(|byte| is_token(**byte)).count();
    let start = word.end + spaces;
    let token = &text[start..start + length];
    let first = token.split(['=', '.']).next().unwrap_or_default();
    let prose = NOT_BEARERS.iter().any(|word| first.eq_ignore_ascii_case(word));
    (spaces > 0 && length > 0 && !prose).then(|| start..start + length)
}

/// From the mark at its beginning to the one at its end, or to the end of the text.
fn private_key(text: &str, place: usize) -> Option<Range<usize>> {
    let title = text[place..].strip_prefix(KEY_BEGINS)?;
    let title = &title[..title.find("-----")?];
    if !title.ends_with("PRIVATE KEY") {
        return None;
    }
    let start = place + KEY_BEGINS.len() + title.len() + "-----".len();
    let end = text[start..].find(KEY_ENDS).map_or(text.len(), |end| start + end);
    // What was taken out before is not taken out again.
    (text[start..end] != *super::REDACTED && start < end).then_some(start..end)
}
