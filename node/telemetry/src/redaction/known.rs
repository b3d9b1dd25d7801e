//! Values that are known to be secret because of the variables they came in.

use std::collections::BTreeMap;
use std::sync::{LazyLock, PoisonError, RwLock};

use super::REDACTED;

/// Shorter values are words that occur by chance.
const LENGTH_MIN: usize = 8;
/// How a variable's name ends whose value is secret.
const ENDINGS: &[&str] = &["KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE"];

static KNOWN: LazyLock<RwLock<Known>> = LazyLock::new(|| {
    let mut known = Known::default();
    for (name, value) in std::env::vars_os() {
        if let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) {
            known.add(&forms(&name, &value));
        }
    }
    RwLock::new(known)
});

/// Secrets of a caller's environment, hidden for as long as this lives.
#[derive(Debug)]
#[must_use = "the values are shown again when this is dropped"]
pub struct Hidden(Vec<String>);

/// From now on [`super::redact`] takes out the values of those `variables` whose names end in `KEY`, `TOKEN`, `SECRET` or
/// `PASSWORD`: for an environment that a caller handed over, which is not the process's own.
pub fn hide<N: AsRef<str>, V: AsRef<str>>(variables: impl IntoIterator<Item = (N, V)>) -> Hidden {
    let forms: Vec<String> =
        variables.into_iter().flat_map(|(name, value)| forms(name.as_ref(), value.as_ref())).collect();
    if !forms.is_empty() {
        KNOWN.write().unwrap_or_else(PoisonError::into_inner).add(&forms);
    }
    Hidden(forms)
}

/// Hides a value to the end of the process, whatever it is called.
pub(crate) fn hide_for_ever(value: &str) {
    let forms = forms("SECRET", value);
    KNOWN.write().unwrap_or_else(PoisonError::into_inner).add(&forms);
}

/// Whether the value of an environment variable of this name is secret.
fn is_secret_variable(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            KNOWN.write().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
        }
    }
}

/// `text` without the known values, if one of them is in it.
pub(super) fn take_out(text: &str) -> Option<String> {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    let mut without: Option<String> = None;
    for secret in &known.longest_first {
        let now = without.as_deref().unwrap_or(text);
        if now.contains(secret.as_str()) {
            without = Some(now.replace(secret.as_str(), REDACTED));
        }
    }
    without
}

/// A value as it stands, and as JSON and Debug write it; and so each of its lines, because what a process prints is looked at
/// line by line.
fn forms(name: &str, value: &str) -> Vec<String> {
    let value = value.trim();
    if !is_secret_variable(name) {
        return Vec::new();
    }
    let lines = value.lines().map(str::trim).filter(|line| *line != value && !is_armor(line));
    std::iter::once(value).chain(lines).flat_map(written).collect()
}

/// "-----BEGIN PRIVATE KEY-----": everybody's.
fn is_armor(line: &str) -> bool {
    line.starts_with("-----") && line.ends_with("-----")
}

fn written(text: &str) -> Vec<String> {
    if text.chars().count() < LENGTH_MIN || REDACTED.contains(text) {
        return Vec::new();
    }
    let mut forms = vec![text.to_owned()];
    let escaped = serde_json::Value::from(text).to_string();
    let escaped = &escaped[1..escaped.len() - 1];
    if escaped != text {
        forms.push(escaped.to_owned());
    }
    forms
}

#[derive(Default)]
struct Known {
    /// Each value with the number of those who asked for it.
    wanted: BTreeMap<String, usize>,
    /// A value may be a part of another.
    longest_first: Vec<String>,
}

impl Known {
    fn add(&mut self, forms: &[String]) {
        for form in forms {
            *self.wanted.entry(form.clone()).or_default() += 1;
        }
        self.order();
    }

    fn remove(&mut self, forms: &[String]) {
        for form in forms {
            if let Some(count) = self.wanted.get_mut(form) {
                *count -= 1;
                if *count == 0 {
                    self.wanted.remove(form);
                }
            }
        }
        self.order();
    }

    fn order(&mut self) {
        self.longest_first = self.wanted.keys().cloned().collect();
        self.longest_first.sort_by_key(|form| std::cmp::Reverse(form.len()));
    }
}
