//! How what was typed here is meant on the node, where the project lies elsewhere: paths become relative to the directory in which
//! workers start there.

use std::path::{Component, Path, PathBuf};

/// The directory in which a command was typed, and the project.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// Without links.
    pub root: &'a Path,
    /// Where the command was typed; without links.
    pub directory: &'a Path,
    /// For `~`.
    pub home: Option<&'a Path>,
}

/// A reference to a file that the project does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outside(pub PathBuf);

impl Places<'_> {
    /// Where workers start, from the root: where the command was typed, if that is in the project, else the root.
    pub fn start(&self) -> String {
        let inside = self.directory.strip_prefix(self.root).unwrap_or(Path::new(""));
        inside.to_string_lossy().into_owned()
    }

    /// A path as it was typed, whole and without `..`.
    pub fn whole(&self, path: &str) -> PathBuf {
        let joined = match (path.strip_prefix("~/"), self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => self.directory.join(path),
        };
        let mut whole = PathBuf::new();
        for part in joined.components() {
            match part {
                Component::ParentDir => {
                    whole.pop();
                }
                Component::CurDir => {}
                part => whole.push(part),
            }
        }
        whole
    }

    /// A path as it was typed, from the root.
    pub fn path_from_root(&self, path: &str) -> Result<String, Outside> {
        let whole = self.whole(path);
        let inside = whole.strip_prefix(self.root).map_err(|_| Outside(whole.clone()))?;
        Ok(inside.to_string_lossy().into_owned())
    }

    /// A path from the root, as it is typed where workers start.
    pub fn typed_there(&self, from_root: &str) -> String {
        let start = self.start();
        let (start, path) = (Path::new(&start), Path::new(from_root));
        let common = start.components().zip(path.components()).take_while(|(one, other)| one == other).count();
        let up = start.components().skip(common).map(|_| Path::new(".."));
        let rest: PathBuf = path.components().skip(common).collect();
        let typed: PathBuf = up.chain([rest.as_path()]).collect();
        typed.to_string_lossy().into_owned()
    }
}

/// `path.py:name` in its parts; nothing for `module:name` and whatever else.
pub fn file_and_name(reference: &str) -> Option<(&str, &str)> {
    let (place, name) = reference.rsplit_once(':')?;
    (place.ends_with(".py") || place.contains('/')).then_some((place, name))
}

/// The same for `--lm`: "ollama/llama3:8b" is a model.
pub fn file_and_name_of_lm(reference: &str) -> Option<(&str, &str)> {
    reference.rsplit_once(':').filter(|(place, _)| place.ends_with(".py"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn places(directory: &str) -> Places<'_> {
        Places { root: Path::new("/p"), directory: Path::new(directory), home: Some(Path::new("/home/you")) }
    }

    fn there(directory: &str, typed: &str) -> Result<String, String> {
        let places = places(directory);
        let from_root = places.path_from_root(typed).map_err(|Outside(path)| path.display().to_string())?;
        Ok(places.typed_there(&from_root))
    }

    #[test]
    fn what_was_typed_means_the_same_file_there() {
        for (directory, typed, expected) in [
            ("/p", "qa.py", "qa.py"),
            ("/p", "./qa.py", "qa.py"),
            ("/p", "/p/a/qa.py", "a/qa.py"),
            ("/p/a", "qa.py", "qa.py"),
            ("/p/a", "../qa.py", "../qa.py"),
            ("/p/a/b", "/p/qa.py", "../../qa.py"),
            ("/p/a/b", "../c/qa.py", "../c/qa.py"),
            // Elsewhere workers start at the root.
            ("/elsewhere", "/p/a/qa.py", "a/qa.py"),
            ("/elsewhere", "../p/qa.py", "qa.py"),
        ] {
            assert_eq!(there(directory, typed), Ok(expected.to_owned()), "{typed} in {directory}");
        }
        assert_eq!(there("/p", "../q/qa.py"), Err("/q/qa.py".to_owned()));
        assert_eq!(there("/p", "~/qa.py"), Err("/home/you/qa.py".to_owned()));
        assert_eq!(there("/p", "/project/qa.py"), Err("/project/qa.py".to_owned()));
    }

    #[test]
    fn workers_start_where_the_command_was_typed() {
        assert_eq!((places("/p").start(), places("/p/a/b").start()), (String::new(), "a/b".to_owned()));
        assert_eq!((places("/q").start(), places("/project").start()), (String::new(), String::new()));
    }

    #[test]
    fn files_are_told_from_modules_and_models() {
        assert_eq!(file_and_name("a/qa.py:QA.best"), Some(("a/qa.py", "QA.best")));
        assert_eq!(file_and_name("package.module:qa"), None);
        assert_eq!(file_and_name("no-colon.py"), None);
        assert_eq!(file_and_name_of_lm("lm.py:lm"), Some(("lm.py", "lm")));
        assert_eq!(file_and_name_of_lm("ollama/llama3:8b"), None);
        assert_eq!(file_and_name_of_lm("openai/gpt-4o-mini"), None);
    }

    proptest! {
        #[test]
        fn the_file_is_the_same_one_wherever_it_is_named_from(
            directory in "/p(/[ab]){0,3}", path in "[abc](/[abc]){0,3}",
        ) {
            let here = places(&directory);
            let typed = here.typed_there(&path);
            // The project lies elsewhere on the node; what is typed there leads to the same place in it.
            let (root, start) = (Path::new("/n/bundle"), Path::new("/n/bundle").join(here.start()));
            let there = Places { root, directory: &start, home: None };
            prop_assert_eq!(there.path_from_root(&typed), Ok(path));
        }
    }
}
