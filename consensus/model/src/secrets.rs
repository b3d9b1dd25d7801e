//! Secrets in JSON that is to be stored: every node has the log, snapshots and backups hold it, and everybody who may read sees it.
//!
//! They are known by the names of values, not by the values: `api_key`, `Authorization`, `credentials`, and by what URLs carry. Words
//! are compared, so `max_tokens`, `keyword` and `tokenizer` are nobody's secret.

use std::borrow::Cow;

use crate::json::{Around, Walk};

/// A name that ends with one of these words is one of a secret.
const SECRETS: &[&str] = &[
    "secret",
    "secrets",
    "password",
    "passwords",
    "passwd",
    "pwd",
    "passphrase",
    "credential",
    "credentials",
    "authorization",
    "cookie",
    "cookies",
    "apikey",
    "apikeys",
    "accesskey",
    "secretkey",
    "privatekey",
    "authtoken",
    "accesstoken",
];
/// Whatever is beneath such a name belongs to the secret.
const WHOLE: &[&str] = &["secret", "secrets", "credential", "credentials"];
/// Numbers under such a name are secrets, too.
const ALSO_NUMBERS: &[&str] = &["password", "passwords", "passwd", "pwd", "passphrase"];
/// Before `token`: those of a text, or of a list's pages.
const ORDINARY_TOKENS: &[&str] = &[
    "bos",
    "cls",
    "continuation",
    "end",
    "eos",
    "first",
    "last",
    "mask",
    "next",
    "page",
    "pad",
    "sep",
    "start",
    "stop",
    "unk",
];
/// Before `key`: those of data.
const ORDINARY_KEYS: &[&str] = &[
    "answer",
    "cache",
    "column",
    "dict",
    "field",
    "foreign",
    "group",
    "idempotency",
    "index",
    "input",
    "item",
    "join",
    "json",
    "lookup",
    "map",
    "metadata",
    "object",
    "output",
    "partition",
    "primary",
    "public",
    "result",
    "routing",
    "row",
    "sort",
    "unique",
];
/// Before `keys`, where lists of ordinary ones are common.
const SECRET_KEYS: &[&str] = &["api", "access", "secret", "private", "auth"];
/// What examples hold may be called as it likes.
const EXAMPLES: &[&str] = &["demos", "traces", "train"];
/// A parameter `key` of a URL is one of a provider, when it is so long.
const URL_KEY_BYTES: usize = 16;

/// Where a JSON text holds a secret, in the words for a message; `named`: what the whole is called. Never the secret itself.
pub fn find_secret(named: &str, text: &str) -> Option<String> {
    find(named, text, |_| true)
}

/// The same, where only some places are looked at: `is_wanted` is asked with the names around a value, from the outside on.
pub(crate) fn find(named: &str, text: &str, is_wanted: impl Fn(&[Cow<'_, str>]) -> bool) -> Option<String> {
    let mut walk = Walk::new(text);
    // What cannot be read to its end is refused by others.
    while let Ok(Some(leaf)) = walk.leaf() {
        if matches!(leaf, "\"\"") {
            continue;
        }
        let names = names(walk.around());
        if names.iter().any(|name| EXAMPLES.contains(&name.as_ref())) || !is_wanted(&names) {
            continue;
        }
        let called = names.last().map_or(named, |name| name.as_ref());
        let place = || match (named, walk.place()) {
            (named, place) if place.is_empty() => named.to_owned(),
            ("", place) => place,
            (named, place) if place.starts_with('[') => format!("{named}{place}"),
            (named, place) => format!("{named}.{place}"),
        };
        let Some(value) = unquoted(leaf) else {
            if ends_with(called, ALSO_NUMBERS) {
                return Some(place());
            }
            continue;
        };
        let outer = std::iter::once(named).chain(names.iter().map(AsRef::as_ref));
        if is_secret(called) || outer.clone().any(|name| ends_with(name, WHOLE)) {
            return Some(place());
        }
        // Headers as pairs: the name is a value itself.
        if ends_with(called, &["headers"]) && is_secret(&value) {
            return Some(format!("the header {} in {}", value, place()));
        }
        if let Some(part) = in_url(&value) {
            return Some(format!("{part} of the URL in {}", place()));
        }
    }
    None
}

fn names<'a>(around: &[Around<'a>]) -> Vec<Cow<'a, str>> {
    let name = |around: &Around<'a>| match around {
        Around::Object { key, .. } if key.contains('\\') => unquoted(&format!("\"{key}\"")).map(Cow::Owned),
        Around::Object { key, .. } => Some(Cow::Borrowed(*key)),
        Around::List { .. } => None,
    };
    around.iter().filter_map(name).collect()
}

/// `None`: it is a number.
fn unquoted(leaf: &str) -> Option<String> {
    serde_json::from_str(leaf).ok()
}

/// Whether a value of this name is a secret.
fn is_secret(name: &str) -> bool {
    let words = words(name);
    let [before @ .., last] = &words[..] else { return false };
    let before = before.last().map(String::as_str);
    match (before, last.as_str()) {
        (_, last) if SECRETS.contains(&last) => true,
        (None, last) => last == "token",
        (Some(before), "token") => !ORDINARY_TOKENS.contains(&before),
        (Some(before), "key") => !ORDINARY_KEYS.contains(&before),
        (Some(before), "keys") => SECRET_KEYS.contains(&before),
        // `aws_access_key_id`
        (Some("key"), "id") => words.len() > 2,
        _ => false,
    }
}

fn ends_with(name: &str, those: &[&str]) -> bool {
    words(name).last().is_some_and(|last| those.contains(&last.as_str()))
}

/// `accessToken`, `ACCESS_TOKEN` and `x-access-token` have the same words.
fn words(name: &str) -> Vec<String> {
    let (mut words, mut was_lower) = (vec![String::new()], false);
    for character in name.chars() {
        let begins = character.is_uppercase() && was_lower;
        if begins || !character.is_alphanumeric() {
            words.push(String::new());
        }
        if character.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(character.to_lowercase());
        }
        was_lower = character.is_lowercase() || character.is_numeric();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The part of a URL in the text that is a secret.
fn in_url(text: &str) -> Option<String> {
    text.match_indices("://").find_map(|(at, _)| {
        let rest = &text[at + 3..];
        let ends = |character: char| character.is_whitespace() || matches!(character, '"' | '\'' | '<' | '>');
        let url = &rest[..rest.find(ends).unwrap_or(rest.len())];
        let authority = &url[..url.find(['/', '?', '#']).unwrap_or(url.len())];
        let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
        if user.split_once(':').is_some_and(|(_, password)| !password.is_empty()) {
            return Some("the password".to_owned());
        }
        let query = url.split_once('?')?.1;
        let parameters = query.split('#').next().unwrap_or_default().split('&');
        parameters.filter_map(|parameter| parameter.split_once('=')).find_map(|(name, value)| {
            let is_key = name == "key" && value.len() >= URL_KEY_BYTES;
            let is_one = is_key || is_secret(name) || ends_with(name, &["sig", "signature"]);
            (is_one && !value.is_empty()).then(|| format!("the parameter {name:?}"))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_known_however_they_are_written() {
        for name in [
            "api_key",
            "API-KEY",
            "apiKey",
            "apikey",
            "x-api-key",
            "OPENAI_KEY",
            "openaiApiKey",
            "aws_access_key_id",
            "aws_secret_access_key",
            "api_keys",
            "token",
            "Auth_Token",
            "accessToken",
            "aws_session_token",
            "secret",
            "client_secret",
            "password",
            "db.passwd",
            "Authorization",
            "Proxy-Authorization",
            "Cookie",
            "Set-Cookie",
            "vertex_credentials",
            "credentials",
        ] {
            assert!(is_secret(name), "{name}");
            assert_eq!(find_secret(name, "\"sk-1\"").as_deref(), Some(name));
            let inside = find_secret("v", &format!(r#"{{"a": [{{"{name}": "sk-1"}}]}}"#));
            assert_eq!(inside, Some(format!("v.a[0].{name}")));
        }
    }

    #[test]
    fn ordinary_names_are_nobodys_secret() {
        for name in [
            "max_tokens",
            "max_token_count",
            "token_count",
            "tokens",
            "key",
            "keys",
            "keyword",
            "keywords",
            "tokenizer",
            "tokenize",
            "sort_key",
            "cache_key",
            "primaryKey",
            "eos_token",
            "next_token",
            "monkey",
            "turkey",
            "key_id",
            "secretary",
            "password_field",
            "cookie_policy",
            "author",
            "api_base",
            "",
        ] {
            assert_eq!(find_secret(name, r#""text""#), None, "{name}");
            assert_eq!(find_secret("v", &format!(r#"{{"{name}": ["text", 5], "n": 1}}"#)), None, "{name}");
        }
    }

    #[test]
    fn what_a_url_carries_is_told_with_its_place() {
        for (url, part) in [
            ("https://user:pw-1@host/v1", "the password of the URL in v.api_base"),
            ("see postgresql://me:pw-1@db:5432/x now", "the password of the URL in v.api_base"),
            ("https://host/v1?a=1&api_key=pw-1#x", "the parameter \"api_key\" of the URL in v.api_base"),
            ("https://host?X-Amz-Signature=pw-1", "the parameter \"X-Amz-Signature\" of the URL in v.api_base"),
            ("https://host?key=AIzapw-1xxxxxxxxx", "the parameter \"key\" of the URL in v.api_base"),
            ("http://a http://b?sig=pw-1", "the parameter \"sig\" of the URL in v.api_base"),
        ] {
            let found = find_secret("v", &serde_json::json!({"api_base": url}).to_string());
            assert_eq!(found.as_deref(), Some(part), "{url}");
            assert!(!part.contains("pw-1"));
        }
        for url in [
            "https://host:8000/v1",
            "ssh://git@host/x",
            "https://user:@host",
            "https://host?page_token=5&key=name&max_tokens=7&token=",
            "mailto:a:b@host",
            "http://[::1]:80/a@b:c",
        ] {
            assert_eq!(find_secret("v", &serde_json::json!([url]).to_string()), None, "{url}");
        }
    }

    #[test]
    fn a_secret_has_many_forms() {
        let found = |text: &str| find_secret("v", text);
        assert_eq!(found(r#"{"api_keys": ["", "sk-1"]}"#).as_deref(), Some("v.api_keys[1]"));
        assert_eq!(found(r#"{"credentials": {"type": "service", "x": 1}}"#).as_deref(), Some("v.credentials.type"));
        assert_eq!(found(r#"{"password": 1234}"#).as_deref(), Some("v.password"));
        assert_eq!(found(r#"{"\u0061pi_key": "sk-1"}"#).as_deref(), Some("v.\\\\u0061pi_key"));
        let pair = found(r#"{"extra_headers": [["X", "y"], ["Authorization", "Bearer sk-1"]]}"#);
        assert_eq!(pair.as_deref(), Some("the header Authorization in v.extra_headers[1][0]"));
        for nothing in [
            r#"{"api_key": "", "password": null, "token": {}, "secret": []}"#,
            r#"{"api_key": 5, "token": false}"#,
            r#"{"demos": [{"token": "word", "password": "x"}], "train": [{"secret": "y"}]}"#,
            r#"["Authorization", "token"]"#,
            "[",
        ] {
            assert_eq!(found(nothing), None, "{nothing}");
        }
    }
}
