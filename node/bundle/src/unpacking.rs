//! From a bundle to a directory. The bundle has been judged; all the same nothing here follows a link, and nothing is written
//! over: every name is made below a directory that is held open.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, fchmod, mkdirat, openat, renameat, symlinkat};

use crate::archive::Archive;
use crate::entry::{Entry, Kind};
use crate::removal;

pub(crate) const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const NEW_FILE: OFlags =
    OFlags::CREATE.union(OFlags::EXCL).union(OFlags::WRONLY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Until it is whole. Then nobody writes into it by accident: other runs see the same files.
const BUILDING: Mode = Mode::RWXU;
const READ: Mode = Mode::RUSR.union(Mode::RGRP).union(Mode::ROTH);
const EXECUTE: Mode = Mode::XUSR.union(Mode::XGRP).union(Mode::XOTH);

/// Unpacks into the new directory `name` in `parent`, where nobody sees it before it is whole.
///
/// # Errors
/// When it cannot be written, or the name is taken; nothing is left then.
pub fn unpack(archive: &Archive<'_>, parent: &Path, name: &str) -> io::Result<()> {
    let holder = openat(CWD, parent, DIRECTORY, Mode::empty())?;
    let building = format!(".{name}.new");
    // What a node that was killed has left.
    removal::remove_at(holder.as_fd(), &building)?;
    let unpacked = write(archive, holder.as_fd(), &building).and_then(|()| {
        if rustix::fs::statat(&holder, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(renameat(&holder, &building, &holder, name)?)
    });
    if unpacked.is_err() {
        // The first error says more; what is left here is removed by the next attempt.
        let _ = removal::remove_at(holder.as_fd(), &building);
    }
    unpacked
}

fn write(archive: &Archive<'_>, holder: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    mkdirat(holder, name, BUILDING)?;
    let mut tree = Tree { root: openat(holder, name, DIRECTORY, Mode::empty())?, open: Vec::new() };
    for (entry, contents) in archive.items() {
        tree.add(entry, contents)?;
    }
    tree.leave(0)?;
    Ok(fchmod(&tree.root, READ | EXECUTE)?)
}

/// The directories down to the one that is written into. Entries come in order, so each is opened once.
struct Tree {
    root: OwnedFd,
    open: Vec<(String, OwnedFd)>,
}

impl Tree {
    fn add(&mut self, entry: &Entry, contents: &[u8]) -> io::Result<()> {
        let (above, name) = entry.path.rsplit_once('/').unwrap_or(("", &entry.path));
        self.enter(above)?;
        match &entry.kind {
            Kind::Link { target } => Ok(symlinkat(target.as_str(), self.place(), name)?),
            Kind::File { executable, .. } => {
                let mut file = File::from(openat(self.place(), name, NEW_FILE, Mode::RUSR | Mode::WUSR)?);
                file.write_all(contents)?;
                // Not at its making: the umask of the node would have a word in it.
                Ok(fchmod(&file, if *executable { READ | EXECUTE } else { READ })?)
            }
        }
    }

    fn place(&self) -> BorrowedFd<'_> {
        self.open.last().map_or(self.root.as_fd(), |(_, directory)| directory.as_fd())
    }

    /// Leaves and makes directories until this one is open.
    fn enter(&mut self, directory: &str) -> io::Result<()> {
        let names: Vec<&str> = directory.split('/').filter(|name| !name.is_empty()).collect();
        let common = names.iter().zip(&self.open).take_while(|(name, (open, _))| *name == open).count();
        self.leave(common)?;
        for name in &names[common..] {
            mkdirat(self.place(), *name, BUILDING)?;
            let directory = openat(self.place(), *name, DIRECTORY, Mode::empty())?;
            self.open.push(((*name).to_owned(), directory));
        }
        Ok(())
    }

    /// Back to so many: what is left is whole.
    fn leave(&mut self, keep: usize) -> io::Result<()> {
        while self.open.len() > keep {
            if let Some((_, directory)) = self.open.pop() {
                fchmod(&directory, READ | EXECUTE)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::archive::{Item, pack};
    use crate::limits::Limits;

    fn file(path: &str, executable: bool) -> Item {
        Item::File { path: path.to_owned(), executable, contents: path.as_bytes().to_vec() }
    }

    fn project() -> Vec<u8> {
        let link = Item::Link { path: "c/link".to_owned(), target: "../a/b/deep.py".to_owned() };
        let files = [("a/b/deep.py", false), ("a.py", false), ("a/run", true), ("c/d", false)];
        let items = files.into_iter().map(|(path, executable)| file(path, executable)).chain([link]).collect();
        pack(items, &Limits::default()).expect("a bundle")
    }

    fn unpacked(parent: &Path, name: &str) -> io::Result<()> {
        let bytes = project();
        unpack(&Archive::open(&bytes, &Limits::default()).expect("a bundle"), parent, name)
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).expect("there").permissions().mode() & 0o777
    }

    #[test]
    fn files_and_links_are_there_and_nobody_writes_to_them_by_accident() {
        let parent = tempfile::tempdir().expect("a directory");
        unpacked(parent.path(), "one").expect("unpacked");
        let root = parent.path().join("one");
        for path in ["a/b/deep.py", "a.py", "a/run", "c/d"] {
            assert_eq!(fs::read_to_string(root.join(path)).expect(path), path);
        }
        assert_eq!(fs::read_to_string(root.join("c/link")).expect("a link"), "a/b/deep.py");
        assert_eq!((mode(&root.join("a/run")), mode(&root.join("a.py"))), (0o555, 0o444));
        assert_eq!((mode(&root), mode(&root.join("a/b"))), (0o555, 0o555));
        assert_eq!(fs::read_dir(parent.path()).expect("readable").count(), 1, "nothing else is left");
    }

    #[test]
    fn what_is_there_already_is_not_touched() {
        let parent = tempfile::tempdir().expect("a directory");
        fs::write(parent.path().join("one"), "mine").expect("written");
        let error = unpacked(parent.path(), "one").expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(parent.path().join("one")).expect("there"), "mine");
        assert_eq!(fs::read_dir(parent.path()).expect("readable").count(), 1, "nothing else is left");
    }

    #[test]
    fn what_a_killed_node_left_is_replaced_and_links_are_not_followed_to_do_it() {
        let (parent, outside) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("another"));
        fs::write(outside.path().join("kept"), "").expect("written");
        symlink(outside.path(), parent.path().join(".one.new")).expect("a link");
        unpacked(parent.path(), "one").expect("unpacked");
        assert!(outside.path().join("kept").exists());
        let left = parent.path().join(".two.new/a");
        fs::create_dir_all(&left).expect("a directory");
        symlink(outside.path(), left.join("out")).expect("a link");
        unpacked(parent.path(), "two").expect("unpacked");
        assert!(outside.path().join("kept").exists() && parent.path().join("two/a/run").exists());
    }

    #[test]
    fn a_directory_that_is_a_link_is_not_unpacked_into() {
        let (parent, outside) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("another"));
        let link = parent.path().join("bundles");
        symlink(outside.path(), &link).expect("a link");
        assert!(unpacked(&link, "one").is_err());
        assert_eq!(fs::read_dir(outside.path()).expect("readable").count(), 0);
    }
}
