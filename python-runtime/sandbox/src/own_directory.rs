//! The directories that workers have to themselves: made, measured, removed.
//!
//! What lies in one was put there by a program: nothing is followed, nothing is trusted to be shallow or readable.

use std::ffi::{CStr, CString};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, chmod, openat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

/// Of files and directories: a walk over more of them takes too long.
const ENTRIES_MAX: u64 = 200_000;
/// Of directories in each other.
const DEPTH_MAX: usize = 100;
/// To enter, and to make something in it. Nobody lists it, not even programs that may list what is around it.
const UNLISTED: u32 = 0o300;
const PRIVATE: u32 = 0o700;
/// Of blocks, as the kernel counts them.
const BLOCK: u64 = 512;
const REMOVAL_TRIES: usize = 20;
const REMOVAL_PAUSE: Duration = Duration::from_millis(100);

/// Where the directories of a node's workers are.
#[derive(Clone, Debug)]
pub struct OwnDirectories {
    root: PathBuf,
}

/// The directory of one worker. Removed when it is dropped, in the background.
#[derive(Debug)]
pub struct OwnDirectory {
    path: PathBuf,
}

/// What a directory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Bytes on the disk.
    Bytes(u64),
    /// More files than are counted, or deeper ones.
    TooMany,
}

impl OwnDirectories {
    /// Makes the place for them. What an earlier node left there is removed in the background.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(root: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(PRIVATE).create(root)?;
        fs::set_permissions(root, fs::Permissions::from_mode(PRIVATE))?;
        let root = root.canonicalize()?;
        let left: Vec<PathBuf> = fs::read_dir(&root)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        fs::set_permissions(&root, fs::Permissions::from_mode(UNLISTED))?;
        if !left.is_empty() {
            in_background(left);
        }
        Ok(Self { root })
    }

    /// Where they are.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// One for a worker, with a place for its temporary files. `name` is used once, and not to be guessed.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make(&self, name: &str) -> io::Result<OwnDirectory> {
        let path = self.root.join(name);
        DirBuilder::new().mode(PRIVATE).create(&path)?;
        let own = OwnDirectory { path };
        DirBuilder::new().mode(PRIVATE).create(own.temporary())?;
        Ok(own)
    }
}

impl OwnDirectory {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// For temporary files.
    pub fn temporary(&self) -> PathBuf {
        self.path.join("tmp")
    }

    /// What it holds by now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn usage(&self) -> io::Result<Usage> {
        usage(&self.path)
    }
}

impl Drop for OwnDirectory {
    fn drop(&mut self) {
        in_background(vec![std::mem::take(&mut self.path)]);
    }
}

fn in_background(paths: Vec<PathBuf>) {
    let removing = move || {
        for path in paths {
            let mut removed = remove(&path);
            for _ in 1..REMOVAL_TRIES {
                if removed.is_ok() {
                    break;
                }
                // Something may still be ending that writes there.
                std::thread::sleep(REMOVAL_PAUSE);
                removed = remove(&path);
            }
            if let Err(error) = removed {
                tracing::warn!(path = %path.display(), %error, "a worker's directory is left: the next start removes it");
            }
        }
    };
    // Without a thread they stay, too.
    let _ = std::thread::Builder::new().name("own-directories".to_owned()).spawn(removing);
}

/// Removes a tree however deep it is: a directory that is not empty becomes a neighbour of the one that is being removed.
fn remove(path: &Path) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let parent = path.parent().ok_or(Errno::INVAL)?;
    let place = openat(CWD, parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let name = path.file_name().ok_or(Errno::INVAL)?;
    let mut waiting = vec![CString::new(name.as_bytes())?];
    while let Some(name) = waiting.pop() {
        let directory = match listing(place.as_fd(), &name) {
            Ok(directory) => directory,
            Err(Errno::NOENT) => continue,
            // Something else than a directory.
            Err(Errno::NOTDIR | Errno::LOOP) => {
                unlinkat(&place, &name, AtFlags::empty())?;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        for entry in Dir::read_from(&directory)? {
            let entry = entry?;
            let inner = entry.file_name();
            if [c".", c".."].contains(&inner) {
                continue;
            }
            match unlinkat(&directory, inner, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => continue,
                Err(Errno::ISDIR | Errno::PERM) => {}
                Err(error) => return Err(error.into()),
            }
            match unlinkat(&directory, inner, AtFlags::REMOVEDIR) {
                Err(Errno::NOTEMPTY | Errno::EXIST) => {
                    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
                    let moved = CString::new(format!("gone-{}-{number}", std::process::id()))?;
                    // To move a directory takes the right to write it.
                    allow(directory.as_fd(), inner)?;
                    renameat_with(&directory, inner, &place, &moved, RenameFlags::NOREPLACE)?;
                    waiting.push(moved);
                }
                removed => removed?,
            }
        }
        unlinkat(&place, &name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

/// Opens a directory to list it, and nothing else.
fn listing(place: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(place, name, flags, Mode::empty()) {
        // Its program took the right away, from itself and so from its node.
        Err(Errno::ACCESS) => {
            allow(place, name)?;
            openat(place, name, flags, Mode::empty())
        }
        opened => opened,
    }
}

/// Gives this user all rights to a directory.
fn allow(place: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(place, name, flags, Mode::empty())?;
    chmod(format!("/proc/self/fd/{}", directory.as_raw_fd()), Mode::from_raw_mode(PRIVATE))
}

fn usage(path: &Path) -> io::Result<Usage> {
    Ok(measured(path, ENTRIES_MAX)?.0)
}

/// What a tree holds, and how many entries were looked at to say so: never more than one beyond `entries_max`, however they lie.
fn measured(path: &Path, entries_max: u64) -> io::Result<(Usage, u64)> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let (mut bytes, mut entries) = (0_u64, 0_u64);
    let mut open = vec![Dir::new(listing(CWD, &path)?)?];
    while let Some(directory) = open.last_mut() {
        let Some(entry) = directory.read() else {
            open.pop();
            continue;
        };
        let entry = entry?;
        if [c".", c".."].contains(&entry.file_name()) {
            continue;
        }
        // Before it is looked at: who makes and removes files all the time would be followed without end.
        entries += 1;
        if entries > entries_max {
            return Ok((Usage::TooMany, entries));
        }
        let place = directory.fd()?;
        // A program goes on meanwhile: what has gone counts nothing.
        let Ok(found) = statat(place, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) else { continue };
        bytes = bytes.saturating_add(u64::try_from(found.st_blocks).unwrap_or(0) * BLOCK);
        let inner = match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => listing(place, entry.file_name()),
            _ => continue,
        };
        if open.len() > DEPTH_MAX {
            return Ok((Usage::TooMany, entries));
        }
        if let Ok(inner) = inner {
            open.push(Dir::new(inner)?);
        }
    }
    Ok((Usage::Bytes(bytes), entries))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::Instant;

    use super::*;

    fn place() -> (tempfile::TempDir, OwnDirectories) {
        let directory = tempfile::tempdir().expect("a directory");
        let own = OwnDirectories::open(&directory.path().join("data/workers")).expect("made");
        (directory, own)
    }

    #[track_caller]
    fn eventually(what: &str, holds: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
        while !holds() {
            assert!(Instant::now() < end, "not in time: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_workers_directory_is_private_and_gone_with_it() {
        let (_keep, directories) = place();
        let own = directories.make("w1").expect("made");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(directories.root()), mode(own.path()), mode(&own.temporary())), (0o300, 0o700, 0o700));
        assert!(directories.make("w1").is_err(), "no name is used twice");
        let path = own.path().to_owned();
        fs::write(own.temporary().join("file"), "x").expect("written");
        drop(own);
        eventually("it is removed", || !path.exists());
    }

    #[test]
    fn what_a_crashed_node_left_is_removed_by_the_next() {
        let (_keep, directories) = place();
        let own = directories.make("w1").expect("made");
        fs::write(own.path().join("file"), "x").expect("written");
        let path = own.path().to_owned();
        std::mem::forget(own);
        OwnDirectories::open(directories.root()).expect("opened again");
        eventually("it is removed", || !path.exists());
    }

    #[test]
    fn a_link_out_of_it_is_removed_and_not_followed() {
        let (keep, directories) = place();
        let outside = keep.path().join("outside");
        fs::create_dir(&outside).expect("made");
        fs::write(outside.join("file"), [0; 1 << 20]).expect("written");
        let own = directories.make("w1").expect("made");
        symlink(&outside, own.path().join("link")).expect("linked");
        symlink("/", own.temporary().join("root")).expect("linked");
        assert!(matches!(own.usage().expect("measured"), Usage::Bytes(bytes) if bytes < 100_000));
        remove(own.path()).expect("removed");
        assert!(!own.path().exists() && outside.join("file").exists());
    }

    #[test]
    fn what_it_takes_on_the_disk_is_counted_and_holes_are_not() {
        let (_keep, directories) = place();
        let own = directories.make("w1").expect("made");
        let Usage::Bytes(before) = own.usage().expect("measured") else { panic!("few files") };
        fs::write(own.temporary().join("full"), vec![1; 1 << 20]).expect("written");
        fs::File::create(own.path().join("sparse")).and_then(|file| file.set_len(1 << 30)).expect("made");
        let Usage::Bytes(after) = own.usage().expect("measured") else { panic!("few files") };
        assert!((1 << 20..3 << 20).contains(&(after - before)), "{before} {after}");
    }

    #[test]
    fn more_entries_than_are_counted_are_not_looked_at_however_they_lie() {
        let (_keep, directories) = place();
        let own = directories.make("w1").expect("made");
        // In one directory, without any directory behind them; tmp is an entry, too.
        for number in 0..49 {
            fs::write(own.path().join(number.to_string()), "x").expect("written");
        }
        assert!(matches!(measured(own.path(), 50).expect("measured"), (Usage::Bytes(_), 50)));
        for entries_max in [0, 10, 49] {
            let (usage, looked_at) = measured(own.path(), entries_max).expect("measured");
            assert_eq!((usage, looked_at), (Usage::TooMany, entries_max + 1));
        }
    }

    #[test]
    fn a_tree_deeper_than_any_path_and_without_rights_is_measured_and_removed() {
        let (_keep, directories) = place();
        let own = directories.make("w1").expect("made");
        let mut place = openat(CWD, own.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).expect("opened");
        // Three times the length that a path may have.
        let deep = "deep".repeat(15);
        for _ in 0..200 {
            rustix::fs::mkdirat(&place, &deep, Mode::from_raw_mode(PRIVATE)).expect("made");
            place = openat(&place, &deep, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).expect("opened");
        }
        assert_eq!(own.usage().expect("measured"), Usage::TooMany);
        let closed = own.temporary().join("closed");
        fs::create_dir_all(closed.join("inner/file")).expect("made");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o0)).expect("closed");
        remove(own.path()).expect("removed");
        assert!(!own.path().exists());
        let left = fs::set_permissions(directories.root(), fs::Permissions::from_mode(PRIVATE))
            .and_then(|()| fs::read_dir(directories.root()));
        assert_eq!(left.expect("readable").count(), 0, "something was moved and forgotten");
    }
}
