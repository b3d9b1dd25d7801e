//! `.gitignore` and `.dspexignore`: the rules of the directories above a file, of which the nearest that says something decides.
//! Every `.dspexignore` is asked before any `.gitignore`: what the caller keeps here stays here, however deep a `.gitignore`
//! takes it back, and `!name` of the caller's takes back what git leaves out.

use std::fs;
use std::io;
use std::path::Path;
use std::rc::Rc;

use dspex_api::reason;
use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::error::CommandError;
use crate::reading::{self, TEXT_BYTES_MAX};

/// Of the caller's own.
pub const OWN: &str = ".dspexignore";
const OF_GIT: &str = ".gitignore";

/// The rules that hold in a directory. A clone costs nothing.
#[derive(Clone, Default)]
pub struct Rules {
    own: Nearest,
    of_git: Nearest,
}

/// The nearest file of one name, and those above it.
type Nearest = Option<Rc<Step>>;

struct Step {
    rules: Gitignore,
    above: Nearest,
}

impl Rules {
    /// Those of a directory beneath the one that these are of.
    pub fn beneath(&self, directory: &Path) -> Result<Self, CommandError> {
        Ok(Self {
            own: nearer(read(directory, OWN)?, &self.own),
            of_git: nearer(read(directory, OF_GIT)?, &self.of_git),
        })
    }

    /// Whether the rules leave this path out, which lies in the directory that they are of.
    pub fn leave_out(&self, path: &Path, is_directory: bool) -> bool {
        said(&self.own, path, is_directory).or_else(|| said(&self.of_git, path, is_directory)).unwrap_or(false)
    }
}

fn nearer(rules: Option<Gitignore>, above: &Nearest) -> Nearest {
    match rules {
        Some(rules) => Some(Rc::new(Step { rules, above: above.clone() })),
        None => above.clone(),
    }
}

/// Whether files of one name leave a path out, if they say anything of it.
fn said(nearest: &Nearest, path: &Path, is_directory: bool) -> Option<bool> {
    let mut step = nearest.as_deref();
    while let Some(Step { rules, above }) = step {
        match rules.matched(path, is_directory) {
            Match::Ignore(_) => return Some(true),
            Match::Whitelist(_) => return Some(false),
            Match::None => step = above.as_deref(),
        }
    }
    None
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
        _ => {}
    }
    let text = reading::file(&path, TEXT_BYTES_MAX).map_err(|error| refused(&error))?;
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
        inner(&Rules::default(), ROOT, own, of_git)
    }

    fn inner(above: &Rules, directory: &str, own: &str, of_git: &str) -> Rules {
        let read = |text, strict| Some(of_text(Path::new(directory), text, strict).expect("patterns"));
        Rules { own: nearer(read(own, true), &above.own), of_git: nearer(read(of_git, false), &above.of_git) }
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
    fn the_nearer_list_of_one_name_goes_before_the_farther() {
        let above = rules("large/\n!small.bin\n", "*.bin\n");
        assert!(!left_out(&above, "small.bin") && left_out(&above, "other.bin") && left_out(&above, "large/"));
        let nearer = inner(&above, "/p/sub", "!large/\nsmall.bin\n", "!other.bin\n");
        assert!(!left_out(&nearer, "sub/large/") && left_out(&nearer, "sub/small.bin"));
        assert!(!left_out(&nearer, "sub/other.bin") && left_out(&nearer, "sub/x.bin"));
    }

    #[test]
    fn what_the_caller_keeps_here_no_deeper_gitignore_sends() {
        let above = rules("private.txt\n!model.bin\n", "");
        let nearer = inner(&above, "/p/sub", "", "!private.txt\n*.bin\n");
        assert!(left_out(&nearer, "sub/private.txt"));
        assert!(!left_out(&nearer, "sub/model.bin"), "what the caller takes back git does not leave out");
        let deepest = inner(&nearer, "/p/sub/deep", "!private.txt\n", "");
        assert!(!left_out(&deepest, "sub/deep/private.txt"), "the caller's own word, nearer");
    }

    #[test]
    fn a_list_without_an_end_is_refused() {
        let place = tempfile::tempdir().expect("a directory");
        std::os::unix::fs::symlink("/dev/zero", place.path().join(OF_GIT)).expect("a link");
        let error = Rules::default().beneath(place.path()).err().expect("refused");
        assert!(error.message.ends_with(".gitignore: it is longer than 1 MiB"), "{error}");
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
