//! Text for a terminal. What others wrote (a note, a name, the message of an exception) must not move the cursor, change a colour,
//! turn the order of letters or pass for a line of ours: such characters are shown as `\u{1b}`.

use std::borrow::Cow;

/// A text of several lines: these and tabs stay.
pub fn text(text: &str) -> Cow<'_, str> {
    escaped(text, |letter| letter != '\n' && letter != '\t' && is_hidden(letter))
}

/// A text that has one line, and no right to more: a cell of a table.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_hidden)
}

fn escaped(text: &str, hides: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&hides) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        if hides(letter) {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    Cow::Owned(shown)
}

/// Control characters, what turns the direction of writing, other ends of lines, and what takes no room: two names that look alike.
fn is_hidden(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_would_act_on_a_terminal_is_shown_instead() {
        let hostile = "a\u{1b}[2J\u{7}b\rc\u{202e}d\u{9b}31m\u{7f}\u{200b}";
        let expected = r"a\u{1b}[2J\u{7}b\rc\u{202e}d\u{9b}31m\u{7f}\u{200b}";
        assert_eq!((text(hostile), line(hostile)), (expected.into(), expected.into()));
    }

    #[test]
    fn a_cell_has_one_line_and_a_text_several() {
        assert_eq!(line("a\nready\tb"), r"a\nready\tb");
        assert_eq!(text("a\n\tb\r\n"), "a\n\tb\\r\n");
    }

    #[test]
    fn what_people_write_stays_as_it_is() {
        for words in ["Grüße, 世界", "עברית", "👩\u{200d}🚀", "e\u{301}", "C:\\x"] {
            assert!(matches!(line(words), Cow::Borrowed(same) if same == words), "{words}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_left_acts_on_a_terminal(hostile in any::<String>()) {
            prop_assert!(!line(&hostile).chars().any(char::is_control));
            prop_assert!(!text(&hostile).chars().any(|letter| letter.is_control() && !"\n\t".contains(letter)));
        }
    }
}
