//! Which files of a project are sent: a walk from its root, names in their order, links not followed.

use std::fs::{self, FileType};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use dspex_api::reason;

use super::ignored::Rules;
use super::largest::Totals;
use super::left_out;
use crate::error::CommandError;

/// Beyond that nobody counts on: a directory that large is not a project.
const ENTRIES_MAX: u64 = 1_000_000;

/// What is found.
#[derive(Debug, Default)]
pub struct Found {
    /// In no particular order.
    pub files: Vec<FoundFile>,
    /// What takes how much.
    pub totals: Totals,
    /// There is more than was looked at.
    pub is_cut: bool,
}

/// A file or link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFile {
    /// From the root.
    pub path: String,
    /// Whether it is a link.
    pub is_link: bool,
    /// Whether its owner may execute it.
    pub executable: bool,
}

/// Walks a project. The first `kept_max` files are remembered; the others are only counted.
pub fn walk(root: &Path, kept_max: usize) -> Result<Found, CommandError> {
    let mut rules = Rules::default();
    // Those of the repository hold in a project inside it.
    for above in of_repository(root) {
        rules = rules.beneath(&above)?;
    }
    let mut found = Found::default();
    let mut looked_at = 0;
    let mut waiting = vec![(root.to_owned(), String::new(), rules)];
    while let Some((directory, prefix, rules)) = waiting.pop() {
        let rules = rules.beneath(&directory)?;
        for entry in fs::read_dir(&directory).map_err(|error| unreadable(&directory, &error))? {
            let entry = entry.map_err(|error| unreadable(&directory, &error))?;
            looked_at += 1;
            if looked_at > ENTRIES_MAX {
                found.is_cut = true;
                return Ok(found);
            }
            let path = entry.path();
            let kind = entry.file_type().map_err(|error| unreadable(&path, &error))?;
            let name = entry.file_name();
            if left_out::by_name(&name.to_string_lossy()) || rules.leave_out(&path, kind.is_dir()) {
                continue;
            }
            let Some(name) = name.to_str() else {
                return Err(refused(&path, "has a name that is not UTF-8"));
            };
            let shown = format!("{prefix}{name}");
            if kind.is_dir() {
                if !left_out::by_contents(&|file| beginning(&path.join(file))) {
                    waiting.push((path, format!("{shown}/"), rules.clone()));
                }
                continue;
            }
            special(kind).map_or(Ok(()), |what| Err(refused(&path, &format!("is {what}"))))?;
            let metadata = entry.metadata().map_err(|error| unreadable(&path, &error))?;
            found.totals.add(&shown, if kind.is_file() { metadata.len() } else { 0 });
            if found.files.len() < kept_max {
                let executable = kind.is_file() && metadata.permissions().mode() & 0o100 != 0;
                found.files.push(FoundFile { path: shown, is_link: kind.is_symlink(), executable });
            }
        }
    }
    Ok(found)
}

/// The directories from that of the repository down to the one above the root.
fn of_repository(root: &Path) -> Vec<PathBuf> {
    let Some(repository) = root.ancestors().find(|above| above.join(".git").exists()) else { return Vec::new() };
    let between = root.ancestors().skip(1).take_while(|above| above.starts_with(repository));
    let mut between: Vec<PathBuf> = between.map(Path::to_owned).collect();
    between.reverse();
    between
}

fn special(kind: FileType) -> Option<&'static str> {
    match kind {
        kind if kind.is_file() || kind.is_symlink() => None,
        kind if kind.is_fifo() => Some("a named pipe"),
        kind if kind.is_socket() => Some("a socket"),
        _ => Some("a device"),
    }
}

/// The first bytes of a file.
fn beginning(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    // A named pipe would wait for its writer.
    let file = fs::metadata(path).ok().filter(fs::Metadata::is_file).and_then(|_| fs::File::open(path).ok())?;
    file.take(64).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn refused(path: &Path, why: &str) -> CommandError {
    CommandError::because(reason::PROJECT_INVALID, format!("{} {why}, which cannot be sent", path.display()))
        .hint("take it out of the project, or list it in .dspexignore in the form of a .gitignore")
}

pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::because(reason::PROJECT_INVALID, format!("{} cannot be read: {error}", path.display()))
        .hint("list it in .dspexignore if workers do not need it")
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::*;

    struct Tree(tempfile::TempDir);

    impl Tree {
        fn of(files: &[&str]) -> Self {
            let tree = Self(tempfile::tempdir().expect("a directory"));
            files.iter().for_each(|file| tree.write(file, ""));
            tree
        }

        fn write(&self, file: &str, text: &str) {
            let path = self.path(file);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, text).expect("written");
        }

        fn path(&self, file: &str) -> PathBuf {
            self.0.path().join(file)
        }

        fn files(&self, root: &str) -> Vec<String> {
            let mut files: Vec<String> =
                walk(&self.path(root), 1000).expect("walked").files.into_iter().map(|file| file.path).collect();
            files.sort();
            files
        }
    }

    #[test]
    fn what_is_left_out_is_left_out_at_every_depth() {
        let tree = Tree::of(&[
            "qa.py",
            "a/b.py",
            "a/.env",
            ".git/config",
            "a/__pycache__/b.pyc",
            "a/x.key",
            "env/bin/python",
            "env/pyvenv.cfg",
            "node/data/log/x",
            "node/token",
            "a/ignored.txt",
            "out/x",
            "a/out/x",
            "a/own.txt",
            "a/model.bin",
            "a/other.bin",
        ]);
        tree.write("node/data/FORMAT", "dspex data directory\nformat = 1\n");
        tree.write(".gitignore", "ignored.txt\n/out\n*.bin\n");
        tree.write(".dspexignore", "own.txt\n!model.bin\n");
        assert_eq!(tree.files(""), [".dspexignore", ".gitignore", "a/b.py", "a/model.bin", "a/out/x", "qa.py"]);
    }

    #[test]
    fn the_rules_of_the_repository_hold_in_a_project_inside_it_and_others_above_do_not() {
        let tree = Tree::of(&["repo/app/qa.py", "repo/app/x.log", "repo/.git/HEAD"]);
        tree.write("repo/.gitignore", "*.log\n");
        tree.write(".gitignore", "*\n");
        assert_eq!(tree.files("repo/app"), ["qa.py"]);
        let alone = Tree::of(&["app/qa.py"]);
        alone.write(".gitignore", "*\n");
        assert_eq!(alone.files("app"), ["qa.py"]);
    }

    #[test]
    fn a_directory_that_is_left_out_is_not_looked_into() {
        let tree = Tree::of(&["data/x", "qa.py"]);
        tree.write(".gitignore", "data/\n!data/x\n");
        std::os::unix::net::UnixListener::bind(tree.path("data/socket")).expect("a socket");
        assert_eq!(tree.files(""), [".gitignore", "qa.py"]);
    }

    #[test]
    fn links_are_links_and_scripts_are_scripts() {
        let tree = Tree::of(&["a/run"]);
        fs::set_permissions(tree.path("a/run"), fs::Permissions::from_mode(0o700)).expect("a mode");
        symlink("a", tree.path("link")).expect("a link");
        let mut found = walk(tree.0.path(), 9).expect("walked").files;
        found.sort_by(|one, other| one.path.cmp(&other.path));
        let file = |path: &str, is_link, executable| FoundFile { path: path.to_owned(), is_link, executable };
        assert_eq!(found, [file("a/run", false, true), file("link", true, false)]);
    }

    #[test]
    fn what_cannot_be_sent_is_named() {
        let tree = Tree::of(&["qa.py"]);
        std::os::unix::net::UnixListener::bind(tree.path("socket")).expect("a socket");
        let error = walk(tree.0.path(), 9).expect_err("refused");
        assert!(error.message.ends_with("socket is a socket, which cannot be sent"), "{error}");
        let tree = Tree::of(&["qa.py"]);
        fs::write(tree.0.path().join(std::ffi::OsStr::from_bytes(b"na\xffme")), "").expect("written");
        let error = walk(tree.0.path(), 9).expect_err("refused");
        assert!(error.message.contains("not UTF-8") && error.message.contains("na"), "{error}");
    }

    #[test]
    fn more_files_than_are_kept_are_still_counted() {
        let tree = Tree::of(&["a/1", "a/2", "a/3", "b"]);
        let found = walk(tree.0.path(), 2).expect("walked");
        assert_eq!((found.files.len(), found.totals.whole().files, found.is_cut), (2, 4, false));
    }
}
