//! Takes an unpacked bundle away, whatever became of it: programs ran beside it, and may have put anything there.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, Mode, fchmod, openat, renameat, unlinkat};
use rustix::io::Errno;

use crate::unpacking::DIRECTORY;

/// Directories that are held open at once; what lies deeper is moved up first.
const DEPTH_MAX: usize = 100;
/// Each goes as deep as that: more is a program that makes directories faster than they go.
const ROUNDS_MAX: usize = 1000;

/// Removes `name` in `parent`, if it is there. No link is followed.
///
/// # Errors
/// When something cannot be removed.
pub fn remove(parent: &Path, name: &str) -> io::Result<()> {
    let holder = openat(CWD, parent, DIRECTORY, Mode::empty())?;
    remove_at(holder.as_fd(), name)
}

pub(crate) fn remove_at(holder: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    removed(holder, name).map(|_| ())
}

/// How many directories were moved up on the way, because those above them were held open.
fn removed(holder: BorrowedFd<'_>, name: &str) -> io::Result<u64> {
    match unlinkat(holder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(0),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    let top = openat(holder, name, DIRECTORY, Mode::empty())?;
    let mut moved = 0;
    for _ in 0..ROUNDS_MAX {
        empty(top.as_fd(), top.as_fd(), 0, &mut moved)?;
        match unlinkat(holder, name, AtFlags::REMOVEDIR) {
            Ok(()) => return Ok(moved),
            Err(Errno::NOTEMPTY) => {} // What was moved up.
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::other(format!("{name} does not become empty")))
}

fn empty(top: BorrowedFd<'_>, directory: BorrowedFd<'_>, depth: usize, moved: &mut u64) -> io::Result<()> {
    // Nobody may write into an unpacked bundle, not even its owner.
    fchmod(directory, Mode::RWXU)?;
    for name in names(directory)? {
        match unlinkat(directory, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => continue,
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
        if depth >= DEPTH_MAX {
            *moved += 1;
            renameat(directory, &name, top, format!(".deep-{moved}"))?;
            continue;
        }
        let inner = openat(directory, &name, DIRECTORY, Mode::empty())?;
        empty(top, inner.as_fd(), depth + 1, moved)?;
        match unlinkat(directory, &name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// What is in a directory, without itself and the one above.
pub(crate) fn names(directory: BorrowedFd<'_>) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if ![c".", c".."].contains(&entry.file_name()) {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn whatever_is_there_goes_and_nothing_else() {
        let (parent, outside) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("another"));
        fs::write(outside.path().join("kept"), "").expect("written");
        let root = parent.path().join("tree");
        fs::create_dir_all(root.join("a/b")).expect("directories");
        fs::write(root.join("a/b/file"), "").expect("written");
        symlink(outside.path(), root.join("a/out")).expect("a link");
        for sealed in ["a/b", "a", ""] {
            fs::set_permissions(root.join(sealed), fs::Permissions::from_mode(0o555)).expect("a mode");
        }
        remove(parent.path(), "tree").expect("removed");
        assert!(!root.exists() && outside.path().join("kept").exists());
        remove(parent.path(), "tree").expect("what is not there is no error");
    }

    #[test]
    fn directories_deeper_than_any_path_go_too() {
        // Three times as many as are held open at once, and a path of ten times the length that one may have.
        const DEPTH: usize = 3 * DEPTH_MAX + 50;
        const PATH_MAX: usize = 4096;
        let name = "directory".repeat(14);
        assert!(DEPTH * name.len() > 10 * PATH_MAX);
        let parent = tempfile::tempdir().expect("a directory");
        let mut place = openat(CWD, parent.path(), DIRECTORY, Mode::empty()).expect("open");
        for _ in 0..DEPTH {
            rustix::fs::mkdirat(&place, &name, Mode::RWXU).expect("made");
            place = openat(&place, &name, DIRECTORY, Mode::empty()).expect("open");
        }
        let holder = openat(CWD, parent.path(), DIRECTORY, Mode::empty()).expect("open");
        let moved = removed(holder.as_fd(), &name).expect("removed");
        assert!(moved >= 3, "all were held open at once: {moved}");
        assert_eq!(fs::read_dir(parent.path()).expect("readable").count(), 0);
    }
}
