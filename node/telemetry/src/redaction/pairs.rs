//! Secrets beside their names: `password=...`, `"api_key": "..."`, `--token ...`, `("SECRET", "...")`, `Authorization: Basic ...`.

use std::ops::Range;

use super::names::{Suspicion, suspicion};
use super::value::{find, is_nothing, is_short_number, looks_made, quote};

/// Words that may stand between a header's name and what is secret in it.
const SCHEMES: &[&str] = &["basic", "bearer", "digest", "token", "apikey", "negotiate"];

/// How a name and its value are held together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bond {
    /// `name=value`, `"name": value`, `--name value`: written by a program.
    Tight,
    /// `name: value`: perhaps a sentence.
    Loose,
}

pub(super) fn values(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut place = 0;
    while let Some(name) = next_name(text, place) {
        place = name.end;
        // Most words have no value, which is seen at a glance.
        let Some((start, bond)) = bond(text, &name) else { continue };
        let how_sure = suspicion(&text[name.clone()]);
        if how_sure == Suspicion::None {
            continue;
        }
        let start = start + scheme(&text[start..]);
        let Some((range, quoted)) = find(&text[start..]) else { continue };
        let range = start + range.start..start + range.end;
        let value = &text[range.clone()];
        let secret = match (how_sure, bond) {
            _ if is_nothing(value) => false,
            (Suspicion::Strong, _) => true,
            (_, Bond::Tight) => !is_short_number(value),
            // `key: "answer"` is what a program looked for.
            (_, Bond::Loose) => looks_made(value) || (quoted && text[name.clone()].eq_ignore_ascii_case("token")),
        };
        if secret {
            place = range.end;
            found.push(range);
        }
    }
    found
}

/// The next word that can be a name, from `place` on.
fn next_name(text: &str, place: usize) -> Option<Range<usize>> {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let bytes = text.as_bytes();
    let start = place + bytes[place..].iter().position(|byte| byte.is_ascii_alphabetic() || *byte == b'_')?;
    let length = bytes[start..].iter().take_while(|byte| is_letter(**byte)).count();
    let name = text[start..start + length].trim_end_matches(['.', '-']);
    Some(start..start + name.len())
}

/// Where the value of `name` begins, if it has one.
fn bond(text: &str, name: &Range<usize>) -> Option<(usize, Bond)> {
    let after = &text[name.end..];
    let closing = quote(after);
    let rest = &after[closing.map_or(0, str::len)..];
    let sign = rest.trim_start_matches(' ');
    let start = |from: &str| text.len() - from.trim_start_matches(' ').len();
    if let Some(value) = sign.strip_prefix("=>").or_else(|| sign.strip_prefix(":=")).or_else(|| sign.strip_prefix('='))
    {
        // `==` compares.
        return (!value.starts_with('=')).then(|| (start(value), Bond::Tight));
    }
    if let Some(value) = sign.strip_prefix(':') {
        // `token::Kind` is a path of code.
        let bond = if closing.is_some() { Bond::Tight } else { Bond::Loose };
        return (!value.starts_with(':')).then(|| (start(value), bond));
    }
    let before = &text[..name.start];
    if closing.is_none() && rest.starts_with(' ') && before.ends_with("--") && !sign.starts_with('-') {
        return Some((start(rest), Bond::Tight));
    }
    if let Some(mark) = closing
        && before.ends_with(mark)
        && before[..before.len() - mark.len()].ends_with('(')
        && let Some(value) = sign.strip_prefix(',')
    {
        return Some((start(value), Bond::Tight));
    }
    None
}

/// The length of a scheme of authentication, with its space, where the secret comes after it.
fn scheme(text: &str) -> usize {
    let opening = quote(text).map_or(0, str::len);
    let word: &str = text[opening..].split(' ').next().unwrap_or_default();
    let whole = opening + word.len() + 1;
    let known = SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme));
    // In quotes everything goes, scheme and all.
    if known && opening == 0 && text.len() > whole { whole } else { 0 }
}
