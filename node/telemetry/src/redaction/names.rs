//! Which names announce a secret.

/// How sure a name is that its value is secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suspicion {
    /// A name like any other.
    None,
    /// `token` or `key` alone: words of everyday use too, so the value has a say.
    Weak,
    /// `password`, `api_key`: whatever the value is.
    Strong,
}

/// Anywhere in a name, these announce a secret.
const SECRET_WORDS: &[&str] = &[
    "accesskey",
    "apikey",
    "authorization",
    "authtoken",
    "cookie",
    "credential",
    "credentials",
    "jwt",
    "passphrase",
    "passwd",
    "password",
    "passwords",
    "privatekey",
    "pwd",
    "secret",
    "secretkey",
    "secrets",
];

/// As the last word these say that the name is about a secret and does not hold it.
const ABOUT: &[&str] = &[
    "age", "at", "count", "counts", "enabled", "env", "expires", "expiry", "field", "file", "format", "hint", "index",
    "kind", "len", "length", "limit", "max", "min", "name", "names", "path", "policy", "required", "source", "status",
    "ttl", "type", "used", "version",
];

/// Tokens of language models, parsers and locks.
const HARMLESS_TOKENS: &[&str] = &[
    "bos",
    "cls",
    "end",
    "eos",
    "fencing",
    "first",
    "last",
    "mask",
    "next",
    "pad",
    "per",
    "previous",
    "sep",
    "special",
    "start",
    "stop",
    "unexpected",
    "unk",
];

/// Keys that find something, rather than open it.
const HARMLESS_KEYS: &[&str] = &[
    "batch",
    "blob",
    "cache",
    "column",
    "composite",
    "config",
    "dedup",
    "dict",
    "example",
    "field",
    "foreign",
    "group",
    "hash",
    "hot",
    "idempotency",
    "index",
    "input",
    "journal",
    "json",
    "label",
    "map",
    "metric",
    "object",
    "order",
    "ordering",
    "output",
    "partition",
    "primary",
    "public",
    "request",
    "routing",
    "row",
    "shard",
    "sort",
    "state",
    "storage",
    "unique",
];

/// What `pass` must come after to mean a password.
const HAVE_PASSWORDS: &[&str] =
    &["admin", "auth", "db", "mail", "my", "mysql", "pg", "proxy", "redis", "root", "smtp", "ssh", "user"];

/// One of these is a part of every name that announces a secret, so that most names need no closer look.
const SIGNS: &[&str] = &["key", "token", "pass", "pwd", "secret", "auth", "credential", "cookie", "jwt"];

pub(super) fn suspicion(name: &str) -> Suspicion {
    let has = |sign: &&str| name.as_bytes().windows(sign.len()).any(|part| part.eq_ignore_ascii_case(sign.as_bytes()));
    if !SIGNS.iter().any(has) {
        return Suspicion::None;
    }
    let words = words(name);
    let Some(last) = words.last().map(String::as_str) else { return Suspicion::None };
    let before = words.len().checked_sub(2).map(|place| words[place].as_str());
    if words.iter().any(|word| SECRET_WORDS.contains(&word.as_str())) {
        return if ABOUT.contains(&last) { Suspicion::None } else { Suspicion::Strong };
    }
    match (last, before) {
        ("pass", Some(whose)) if HAVE_PASSWORDS.contains(&whose) => Suspicion::Strong,
        ("token", Some(which)) if HARMLESS_TOKENS.contains(&which) => Suspicion::None,
        ("key", Some(which)) if HARMLESS_KEYS.contains(&which) => Suspicion::None,
        ("token" | "key", Some(_)) => Suspicion::Strong,
        ("token" | "key", None) => Suspicion::Weak,
        _ => Suspicion::None,
    }
}

/// `OPENAI_API_KEY`, `openai-api-key`, `openai.api_key` and `openaiApiKey` are the same four words.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for letter in name.chars() {
        let starts = !letter.is_ascii_alphanumeric() || (letter.is_ascii_uppercase() && before.is_ascii_lowercase());
        if starts && words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
        if letter.is_ascii_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.push(letter.to_ascii_lowercase());
        }
        before = letter;
    }
    words.retain(|word| !word.is_empty());
    words
}
