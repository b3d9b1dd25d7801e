//! Whether an unpacked bundle is still what was unpacked. Contents are not read again: whoever changes, adds or removes a file
//! changes a time that no program sets.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, openat, statat};
use sha2::{Digest, Sha256};

use crate::limits::{DEPTH_MAX, FILES_MAX};
use crate::removal::names;
use crate::unpacking::DIRECTORY;

/// What a directory is like, with all that is beneath it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp([u8; 32]);

/// Looks at every name in a directory, links not followed.
///
/// # Errors
/// When it cannot be read, or holds more than any bundle does.
pub fn stamp(directory: &Path) -> io::Result<Stamp> {
    let root = openat(CWD, directory, DIRECTORY, Mode::empty())?;
    let mut gathered = Gathered { hash: Sha256::new(), left: FILES_MAX * (DEPTH_MAX + 1) };
    gathered.of_file(root.as_fd(), c".")?;
    gathered.of_directory(root.as_fd(), 0)?;
    Ok(Stamp(gathered.hash.finalize().into()))
}

struct Gathered {
    hash: Sha256,
    left: usize,
}

impl Gathered {
    fn of_directory(&mut self, directory: BorrowedFd<'_>, depth: usize) -> io::Result<()> {
        let mut names = names(directory)?;
        names.sort();
        self.number(names.len() as u64);
        self.left = self.left.checked_sub(names.len()).ok_or_else(too_much)?;
        for name in names {
            self.number(name.as_bytes().len() as u64);
            self.hash.update(name.as_bytes());
            if self.of_file(directory, &name)? == FileType::Directory {
                if depth > DEPTH_MAX {
                    return Err(too_much());
                }
                let inner = openat(directory, &name, DIRECTORY, Mode::empty())?;
                self.of_directory(inner.as_fd(), depth + 1)?;
            }
        }
        Ok(())
    }

    fn of_file(&mut self, directory: BorrowedFd<'_>, name: &std::ffi::CStr) -> io::Result<FileType> {
        let found = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        for number in [u64::from(found.st_mode), found.st_ino, found.st_size as u64] {
            self.number(number);
        }
        for (seconds, nanoseconds) in [(found.st_mtime, found.st_mtime_nsec), (found.st_ctime, found.st_ctime_nsec)] {
            self.number(seconds as u64);
            self.number(nanoseconds);
        }
        Ok(FileType::from_raw_mode(found.st_mode))
    }

    fn number(&mut self, number: u64) {
        self.hash.update(number.to_le_bytes());
    }
}

fn too_much() -> io::Error {
    io::Error::other("there is more than was unpacked")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn any_change_is_seen_and_reading_is_none() {
        let root = tempfile::tempdir().expect("a directory");
        let path = |name: &str| root.path().join(name);
        fs::create_dir(path("a")).expect("a directory");
        fs::write(path("a/x.py"), "x = 1").expect("written");
        let mut before = stamp(root.path()).expect("a stamp");
        fs::read_to_string(path("a/x.py")).expect("read");
        assert_eq!(stamp(root.path()).expect("a stamp"), before);
        let mut changed = |what: &str| {
            let now = stamp(root.path()).expect("a stamp");
            assert_ne!(now, before, "{what}");
            before = now;
        };
        fs::create_dir(path("a/__pycache__")).expect("a directory");
        changed("a directory was added");
        fs::write(path("a/__pycache__/x.pyc"), "").expect("written");
        changed("a file was added");
        fs::remove_dir_all(path("a/__pycache__")).expect("removed");
        changed("a directory was removed");
        fs::write(path("a/y.py"), "x = 1").expect("written");
        fs::rename(path("a/y.py"), path("a/x.py")).expect("renamed");
        changed("a file was replaced by one of the same length");
        std::os::unix::fs::symlink("a", path("b")).expect("a link");
        changed("a link was added");
    }

    #[test]
    fn the_old_time_put_back_hides_nothing() {
        let root = tempfile::tempdir().expect("a directory");
        let file = root.path().join("x.py");
        fs::write(&file, "x = 1").expect("written");
        let (before, modified) = (stamp(root.path()).expect("a stamp"), fs::metadata(&file).expect("there").modified());
        // The clock of the file system may stand still for a few milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::write(&file, "x = 2").expect("written");
        let opened = fs::File::options().write(true).open(&file).expect("open");
        opened.set_modified(modified.expect("a time")).expect("set");
        assert_ne!(stamp(root.path()).expect("a stamp"), before);
    }
}
