//! What somebody typed, as an error repeats it: enough to know it again, never all of a pasted file.

/// Characters that are repeated.
const CHARACTERS_MAX: usize = 64;

/// In quotes, with what is not printed escaped.
pub fn quoted(text: &str) -> String {
    format!("{:?}", shortened(text))
}

/// Cut, which `…` at the end says.
pub fn shortened(text: &str) -> String {
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_not_repeated_whole() {
        assert_eq!(quoted(&"ü".repeat(10_000)), format!("\"{}…\"", "ü".repeat(64)));
        let whole = "x".repeat(64);
        assert_eq!((shortened(&whole), quoted("a\n\u{1b}")), (whole, r#""a\n\u{1b}""#.to_owned()));
    }
}
