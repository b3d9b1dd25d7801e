//! Names that people choose: two that look alike must not be two, and none may look like a path.
//!
//! Checked where a name comes in, never while the log is applied: Unicode's tables grow from version to version, and what
//! one version let in must be read by all.

use std::collections::BTreeSet;
use std::fmt;

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, Script};
use icu_properties::{CodePointMapData, CodePointSetData, PropertyNamesLong};
use serde::{Deserialize, Serialize};

/// Bytes of a name.
pub const NAME_BYTES_MAX: usize = 255;

/// Scripts that are written together; any other two in one name are there to deceive.
const WRITTEN_TOGETHER: [&[Script]; 3] = [
    &[Script::Latin, Script::Han, Script::Hiragana, Script::Katakana],
    &[Script::Latin, Script::Han, Script::Bopomofo],
    &[Script::Latin, Script::Han, Script::Hangul],
];

/// The name of a program or of a variable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Name(String);

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Nothing, or too much.
    #[error("a name has 1 to {NAME_BYTES_MAX} bytes, not {0}")]
    Length(usize),
    /// Spaces that nobody sees.
    #[error("a name neither begins nor ends with a space")]
    Spaces,
    /// It could be taken for a path.
    #[error("a name holds no {0:?}: it is no path")]
    Path(&'static str),
    /// Nobody sees it, or it changes how others are shown.
    #[error("the name has the character U+{:04X}, which is not printed or not known: leave it out", u32::from(*.0))]
    Unprinted(char),
    /// Another spelling is shown the same.
    #[error("the name can be spelled in another way that looks the same or nearly so: write {0:?}")]
    NotNormal(String),
    /// Letters that look alike.
    #[error("the name mixes letters of {0}, which look alike: use one script")]
    MixedScripts(String),
}

impl Name {
    /// The name, if the text can be one.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidName> {
        let text = text.into();
        if text.is_empty() || text.len() > NAME_BYTES_MAX {
            return Err(InvalidName::Length(text.len()));
        }
        check_letters(&text)?;
        Ok(Self(text))
    }

    /// What is stored was a name when it came in.
    pub(crate) fn stored(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is held against whatever people choose to call something, but for its length.
pub(crate) fn check_letters(text: &str) -> Result<(), InvalidName> {
    if text.starts_with(' ') || text.ends_with(' ') {
        return Err(InvalidName::Spaces);
    }
    if let Some(part) = ["/", "\\", ".."].into_iter().find(|part| text == "." || text.contains(part)) {
        return Err(InvalidName::Path(if text == "." { "." } else { part }));
    }
    if let Some(character) = text.chars().find(|character| !is_printed(*character)) {
        return Err(InvalidName::Unprinted(character));
    }
    let normalizer = ComposingNormalizerBorrowed::new_nfkc();
    if !normalizer.is_normalized(text) {
        return Err(InvalidName::NotNormal(normalizer.normalize(text).into_owned()));
    }
    let scripts = scripts(text);
    let together = |known: &&[Script]| scripts.iter().all(|script| known.contains(script));
    if scripts.len() > 1 && !WRITTEN_TOGETHER.iter().any(together) {
        let names = PropertyNamesLong::<Script>::new();
        let named: Vec<&str> = scripts.iter().map(|script| names.get(*script).unwrap_or("an unknown script")).collect();
        return Err(InvalidName::MixedScripts(named.join(" and ")));
    }
    Ok(())
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_printed(character: char) -> bool {
    use GeneralCategory as Category;
    let unprinted = matches!(
        CodePointMapData::<Category>::new().get(character),
        Category::Control
            | Category::Format
            | Category::Surrogate
            | Category::PrivateUse
            | Category::Unassigned
            | Category::LineSeparator
            | Category::ParagraphSeparator
    );
    !unprinted && !CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character)
}

/// Digits, punctuation and accents belong to all of them.
fn scripts(text: &str) -> BTreeSet<Script> {
    let of = CodePointMapData::<Script>::new();
    let common = |script: &Script| matches!(*script, Script::Common | Script::Inherited);
    text.chars().map(|character| of.get(character)).filter(|script| !common(script)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(text: &str) -> InvalidName {
        Name::new(text).expect_err(text)
    }

    #[test]
    fn names_that_people_write_are_names() {
        let longest = "x".repeat(NAME_BYTES_MAX);
        for good in ["qa", "qa v2", "a.b-c_d:e", "größe", "рецепт", "質問に答える", "질문 QA", "qa 🎃", &longest]
        {
            assert_eq!(Name::new(good).map(|name| name.to_string()), Ok(good.to_owned()));
        }
    }

    #[test]
    fn what_could_be_a_path_is_no_name() {
        for bad in ["../etc", "a/b", "a\\b", "..", ".", "a..b"] {
            assert!(matches!(refused(bad), InvalidName::Path(_)), "{bad}");
        }
    }

    #[test]
    fn what_nobody_sees_is_no_part_of_a_name() {
        // NUL, a line break, DEL, zero-width space and joiner, right-to-left override, soft hyphen, a tag, private use, none yet.
        for bad in [
            "a\0b",
            "a\n",
            "a\u{7f}",
            "q\u{200b}a",
            "q\u{200d}a",
            "a\u{202e}b",
            "q\u{ad}a",
            "a\u{e0061}",
            "\u{e000}",
            "\u{378}",
        ] {
            assert!(matches!(refused(bad), InvalidName::Unprinted(_)), "{bad:?}");
        }
        assert!(refused("q\u{200b}a").to_string().contains("U+200B"));
        assert_eq!(refused(" a"), InvalidName::Spaces);
        assert_eq!(refused("a "), InvalidName::Spaces);
        assert_eq!(refused(""), InvalidName::Length(0));
        assert_eq!(refused(&"x".repeat(10_000)), InvalidName::Length(10_000));
    }

    #[test]
    fn two_spellings_of_one_name_are_one() {
        // An accent apart, full-width letters, a ligature, mathematical letters, a hard space.
        for (bad, good) in [("u\u{308}", "ü"), ("ｑａ", "qa"), ("ﬁne", "fine"), ("𝐪𝐚", "qa"), ("q\u{a0}a", "q a")]
        {
            assert_eq!(refused(bad), InvalidName::NotNormal(good.to_owned()), "{bad}");
        }
    }

    #[test]
    fn letters_of_two_scripts_that_look_alike_are_refused() {
        // Cyrillic а and о, Greek ο.
        for bad in ["q\u{430}", "dem\u{43e}", "dem\u{3bf}"] {
            assert!(matches!(refused(bad), InvalidName::MixedScripts(_)), "{bad}");
        }
        assert!(refused("q\u{430}").to_string().contains("Cyrillic and Latin"));
    }

    proptest! {
        #[test]
        fn whatever_is_given_a_name_is_short_visible_and_no_path(text in any::<String>()) {
            if let Ok(name) = Name::new(text.clone()) {
                prop_assert_eq!(name.as_str(), &text);
                prop_assert!(text.len() <= NAME_BYTES_MAX && text.trim() == text);
                prop_assert!(!text.contains(['/', '\\', '\0']) && !text.contains(".."));
                prop_assert!(!text.chars().any(char::is_control));
            }
        }
    }
}
