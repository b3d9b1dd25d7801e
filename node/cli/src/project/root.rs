//! The root of a project: the nearest directory above a program's file with a `pyproject.toml` or a `.git`, else the file's own.

use std::path::{Path, PathBuf};

use dspex_api::reason;

use crate::error::CommandError;

/// What makes a directory the root.
const MARKS: [&str; 2] = ["pyproject.toml", ".git"];

/// The root of what lies in `directory`.
pub fn find(directory: &Path) -> PathBuf {
    find_by(directory, &|path| path.exists())
}

fn find_by(directory: &Path, exists: &dyn Fn(&Path) -> bool) -> PathBuf {
    let is_root = |directory: &&Path| MARKS.iter().any(|mark| exists(&directory.join(mark)));
    directory.ancestors().find(is_root).unwrap_or(directory).to_owned()
}

/// Refuses what holds more than a project: nobody means to send all their files.
pub fn check(root: &Path, home: Option<&Path>) -> Result<(), CommandError> {
    let what = match root {
        root if root.parent().is_none() => "the root of the file system",
        root if Some(root) == home => "your home directory",
        root if root == std::env::temp_dir() => "the directory for temporary files",
        _ => return Ok(()),
    };
    let message = format!("the program's project would be {}, {what}, all of which would be sent", root.display());
    Err(CommandError::because(reason::PROJECT_INVALID, message).hint(
        "give the project a directory of its own with a pyproject.toml, which may be empty: the nearest one above the program's \
         file says what the project is",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(directory: &str, files: &[&str]) -> PathBuf {
        find_by(Path::new(directory), &|path| files.iter().any(|file| Path::new(file) == path))
    }

    #[test]
    fn the_nearest_mark_above_decides_else_the_files_own_directory() {
        let files = ["/work/.git", "/work/app/pyproject.toml"];
        assert_eq!(found("/work/app/src/qa", &files), Path::new("/work/app"));
        assert_eq!(found("/work/app", &files), Path::new("/work/app"));
        assert_eq!(found("/work/other/x", &files), Path::new("/work"));
        assert_eq!(found("/elsewhere/x", &files), Path::new("/elsewhere/x"));
    }

    #[test]
    fn nobody_sends_all_their_files() {
        let home = Some(Path::new("/home/you"));
        for root in [Path::new("/"), Path::new("/home/you"), &std::env::temp_dir()] {
            let error = check(root, home).expect_err("refused");
            assert!(error.hint.is_some_and(|hint| hint.contains("pyproject.toml")), "{root:?}");
        }
        assert_eq!(check(Path::new("/home/you/qa"), home), Ok(()));
        assert_eq!(check(Path::new("/srv/qa"), None), Ok(()));
    }
}
