//! Takes secrets out of text that leaves the process: log lines, span attributes, label values.
//!
//! Four kinds are found: the value beside a name that says so (`password=...`), what looks like a credential by its own shape
//! (`Bearer ...`, `sk-...`, private keys), the password in a URL, and the very values of variables whose names say that they are
//! secret. Where a doubt remains the text is taken out; what is known to be harmless (`max_tokens=5`, digests, run ids) stays.

mod known;
mod names;
mod pairs;
mod shapes;
mod urls;
mod value;

use std::borrow::Cow;
use std::ops::Range;

pub(crate) use known::hide_for_ever;
pub use known::{Hidden, hide};
use names::{Suspicion, suspicion};

/// What stands in the place of a secret.
pub const REDACTED: &str = "[redacted]";

/// `text` without its secrets; the same text, not copied, where there are none. Doing it twice changes nothing more.
///
/// Besides what can be seen in the text itself, the values of this process's own environment variables named `*KEY`, `*TOKEN`,
/// `*SECRET` or `*PASSWORD` are taken out, if they are at least 8 characters long, and those given to [`hide`]; of values with
/// several lines also each such line.
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    if let Some(without) = known::take_out(&text) {
        text = Cow::Owned(without);
    }
    if let Some(without) = take_out(&text, &urls::passwords(&text)) {
        text = Cow::Owned(without);
    }
    if let Some(without) = take_out(&text, &pairs::values(&text)) {
        text = Cow::Owned(without);
    }
    if let Some(without) = take_out(&text, &shapes::credentials(&text)) {
        text = Cow::Owned(without);
    }
    text
}

/// Whether a field of this name holds a secret, whatever its value looks like. `max_tokens`, `cache_key` and the like do not.
pub fn is_secret_name(name: &str) -> bool {
    suspicion(name) != Suspicion::None
}

/// The text of a field: taken out whole where the field's name says that it is secret, otherwise searched.
pub(crate) fn redact_field<'a>(name: &str, text: &'a str) -> Cow<'a, str> {
    match suspicion(name) {
        Suspicion::Strong if !value::is_nothing(text) => Cow::Borrowed(REDACTED),
        Suspicion::Weak if !value::is_nothing(text) && !value::is_short_number(text) => Cow::Borrowed(REDACTED),
        _ => redact(text),
    }
}

/// Whether a number in a field of this name must not be shown.
pub(crate) fn hides_numbers(name: &str) -> bool {
    suspicion(name) == Suspicion::Strong
}

/// `text` with each of `ranges`, which are in order and do not overlap, replaced.
fn take_out(text: &str, ranges: &[Range<usize>]) -> Option<String> {
    if ranges.is_empty() {
        return None;
    }
    let mut without = String::with_capacity(text.len());
    let mut kept = 0;
    for range in ranges {
        without.push_str(&text[kept..range.start]);
        without.push_str(REDACTED);
        kept = range.end;
    }
    without.push_str(&text[kept..]);
    Some(without)
}

#[cfg(test)]
mod tests;
