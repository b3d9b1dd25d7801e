//! `.gitignore` and `.dspexignore`: the rules of the directories above a file, of which the nearest that says something decides;
//! in one directory `.dspexignore` goes first, so that `!name` in it takes back what git leaves out.

use std::fs;
use std::io;
use std::path::Path;
use std::rc::Rc;

use dspex_api::reason;
use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::error::CommandError;

/// Of the caller's own.
pub const OWN: &str = ".dspexignore";
const OF_GIT: &str = ".gitignore";
/// A longer one is no list of patterns.
const RULES_BYTES_MAX: u64 = 1 << 20;

/// The rules that hold in a directory. A clone costs nothing.
#[derive(Clone, Default)]
pub struct Rules {
    nearest: Option<Rc<Step>>,
}

struct Step {
    /// In the order in which they are asked.
    of_directory: Vec<Gitignore>,
    above: Option<Rc<Step>>,
}

impl Rules {
    /// Those of a directory beneath the one that these are of.
    pub fn beneath(&self, directory: &Path) -> Result<Self, CommandError> {
        let of_directory: Vec<Gitignore> = [OWN, OF_GIT]
            .iter()
            .map(|name| read(directory, name))
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .collect();
        if of_directory.is_empty() {
            return Ok(self.clone());
        }
        Ok(Self { nearest: Some(Rc::new(Step { of_directory, above: self.nearest.clone() })) })
    }

    /// Whether the rules leave this path out, which lies in the directory that they are of.
    pub fn leave_out(&self, path: &Path, is_directory: bool) -> bool {
        let mut step = self.nearest.as_deref();
        while let Some(Step { of_directory, above }) = step {
            for rules in of_directory {
                match rules.matched(path, is_directory) {
                    Match::Ignore(_) => return true,
                    Match::Whitelist(_) => return false,
                    Match::None => {}
                }
            }
            step = above.as_deref();
        }
        false
    }
}

/// The rules of a file, if there is one.
fn read(directory: &Path, name: &str) -> Result<Option<Gitignore>, CommandError> {
    let path = directory.join(name);
    let refused = |why: &dyn std::fmt::Display| {
        CommandError::because(reason::PROJECT_INVALID, format!("{}: {why}", path.display()))
    };
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(found) if found.is_dir() => return Ok(None),
        Ok(found) if found.len() > RULES_BYTES_MAX => return Err(refused(&"it is longer than 1 MiB")),
        _ => {}
    }
    let text = fs::read(&path).map_err(|error| refused(&error))?;
    of_text(directory, &String::from_utf8_lossy(&text), name == OWN).map(Some).map_err(|why| refused(&why))
}

/// git passes over a pattern that it cannot read. In the caller's own list it may be the one that keeps a secret here.
fn of_text(directory: &Path, text: &str, strict: bool) -> Result<Gitignore, String> {
    let mut builder = GitignoreBuilder::new(directory);
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        match builder.add_line(None, line) {
            Err(error) if strict => return Err(format!("line {}: {error}", number + 1)),
            _ => {}
        }
    }
    builder.build().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROOT: &str = "/p";

    fn rules(own: &str, of_git: &str) -> Rules {
        let each = [(own, true), (of_git, false)];
        let of_directory = each.map(|(text, strict)| of_text(Path::new(ROOT), text, strict).expect("patterns"));
        Rules { nearest: Some(Rc::new(Step { of_directory: of_directory.into(), above: None })) }
    }

    fn inner(above: &Rules, directory: &str, of_git: &str) -> Rules {
        let own = of_text(Path::new(directory), of_git, false).expect("patterns");
        Rules { nearest: Some(Rc::new(Step { of_directory: vec![own], above: above.nearest.clone() })) }
    }

    fn left_out(rules: &Rules, path: &str) -> bool {
        let (path, is_directory) = path.strip_suffix('/').map_or((path, false), |path| (path, true));
        rules.leave_out(&Path::new(ROOT).join(path), is_directory)
    }

    #[test]
    fn patterns_mean_what_they_mean_to_git() {
        let rules = rules("", "*.log\n/build\ndata/\n!keep.log\n# a comment\n\ndocs/**/*.png\n");
        for path in ["a.log", "x/a.log", "build/", "build", "data/", "x/data/", "docs/a/b.png"] {
            assert!(left_out(&rules, path), "{path}");
        }
        for path in ["keep.log", "x/keep.log", "x/build", "data", "a.png", "# a comment"] {
            assert!(!left_out(&rules, path), "{path}");
        }
    }

    #[test]
    fn the_callers_own_list_goes_before_gits_and_the_nearer_before_the_farther() {
        let own = rules("!model.bin\nlarge/", "*.bin\n");
        assert!(!left_out(&own, "model.bin") && left_out(&own, "other.bin") && left_out(&own, "large/"));
        let nearer = inner(&own, "/p/sub", "!other.bin\nmodel.bin\n");
        assert!(!left_out(&nearer, "sub/other.bin") && left_out(&nearer, "sub/model.bin"));
        assert!(left_out(&nearer, "sub/large/") && left_out(&nearer, "sub/x.bin"));
    }

    #[test]
    fn a_pattern_of_the_callers_that_cannot_be_read_is_an_error_and_one_of_gits_is_none() {
        assert!(of_text(Path::new(ROOT), "ok\na{b\n", true).expect_err("refused").starts_with("line 2: "));
        let lenient = of_text(Path::new(ROOT), "a{b\n*.log\n", false).expect("passed over");
        assert!(lenient.matched(Path::new("/p/x.log"), false).is_ignore());
    }

    proptest! {
        /// A name that is written as it is leaves out just this name.
        #[test]
        fn a_plain_name_leaves_out_itself_only(name in "[a-z]{1,8}", other in "[a-z]{1,8}") {
            let rules = rules("", &format!("/{name}\n"));
            prop_assert!(left_out(&rules, &name));
            prop_assert_eq!(left_out(&rules, &other), other == name);
            let deeper = format!("x/{name}");
            prop_assert!(!left_out(&rules, &deeper));
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,60}", path in "[a-z/]{1,20}") {
            if let Ok(rules) = of_text(Path::new(ROOT), &text, false) {
                let _ = rules.matched(Path::new(ROOT).join(path.trim_matches('/')), false);
            }
        }
    }
}
