//! What somebody sent, as a refusal repeats it: enough to know it again, never all of ten kilobytes.

use std::borrow::Cow;

/// Characters that are repeated.
const CHARACTERS_MAX: usize = 64;

/// In quotes, with what is not printed escaped.
pub fn quoted(text: &str) -> String {
    format!("{:?}", shortened(text))
}

/// Cut, which `…` at the end says.
pub(crate) fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_not_repeated_whole() {
        assert_eq!(quoted(&"ü".repeat(10_000)), format!("\"{}…\"", "ü".repeat(64)));
        assert_eq!(quoted(&"x".repeat(64)).len(), 66);
        assert_eq!(quoted("a\n\u{1b}\u{202e}"), r#""a\n\u{1b}\u{202e}""#);
    }
}
