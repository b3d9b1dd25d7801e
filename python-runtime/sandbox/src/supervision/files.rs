//! Modes and times of files, which Landlock does not see: of a worker's own files they are changed here, of all others they are
//! left as they are.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps, chmod, fstat, openat2, utimensat,
};
use rustix::io::Errno;

use super::Supervised;
use super::caller::{Caller, number};
use super::connecting::outside;
use crate::filter::Syscall;
use crate::system::{Answer, Notification};

/// `AT_SYMLINK_NOFOLLOW`
const NO_FOLLOW: i32 = 0x100;
/// `AT_EMPTY_PATH`
const EMPTY_PATH: i32 = 0x1000;
/// `AT_FDCWD`, as an argument.
const CURRENT_DIRECTORY: u64 = -100_i64 as u64;
/// Neither setuid nor setgid: outside of the sandbox they would mean something.
const MODE: u64 = 0o1777;
/// A directory that its user cannot enter could not be measured.
const OF_DIRECTORIES: u32 = 0o700;

/// A file as a call names it.
struct Named {
    directory: u64,
    /// Where its name lies; 0: the directory is a file, and meant itself.
    name: u64,
    flags: i32,
}

pub(super) fn change(supervised: &Supervised, caller: &Caller, notification: &Notification) -> Result<Answer, Errno> {
    let [first, second, third, fourth, ..] = notification.arguments;
    let is = |call: Syscall| call.is(notification.number);
    if is(Syscall::UTIMENSAT) {
        let file = find(supervised, caller, &Named { directory: first, name: second, flags: number(fourth) })?;
        let times = times(caller, third)?;
        utimensat(CWD, name(&file), &times, AtFlags::empty())?;
        return Ok(Answer::Value(0));
    }
    let (named, mode) = if is(Syscall::CHMOD) {
        (Named { directory: CURRENT_DIRECTORY, name: first, flags: 0 }, second)
    } else if is(Syscall::FCHMOD) {
        (Named { directory: first, name: 0, flags: 0 }, second)
    } else if is(Syscall::FCHMODAT) {
        (Named { directory: first, name: second, flags: 0 }, third)
    } else if is(Syscall::FCHMODAT2) {
        (Named { directory: first, name: second, flags: number(fourth) }, third)
    } else {
        return Err(Errno::NOSYS);
    };
    let file = find(supervised, caller, &named)?;
    let mut mode = Mode::from_raw_mode(u32::try_from(mode & MODE).unwrap_or_default());
    match FileType::from_raw_mode(fstat(&file)?.st_mode) {
        FileType::Directory => mode |= Mode::from_raw_mode(OF_DIRECTORIES),
        FileType::Symlink => return Err(Errno::OPNOTSUPP),
        _ => {}
    }
    chmod(name(&file), mode)?;
    Ok(Answer::Value(0))
}

/// The very file that was opened.
fn name(file: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Opens the file that is named, where it is one of the worker's own.
fn find(supervised: &Supervised, caller: &Caller, named: &Named) -> Result<OwnedFd, Errno> {
    let text = if named.name == 0 { Vec::new() } else { caller.text(named.name)? };
    if text.is_empty() {
        if named.name != 0 && named.flags & EMPTY_PATH == 0 {
            return Err(Errno::NOENT);
        }
        let file = caller.descriptor(named.directory)?;
        // Of the very file that was taken: its number may mean another one in the worker by now.
        let path = fs::read_link(name(&file)).map_err(|_| Errno::BADF)?;
        return if is_own(supervised, &path) { Ok(file) } else { Err(Errno::ACCESS) };
    }
    let path = PathBuf::from(String::from_utf8(text).map_err(|_| Errno::ACCESS)?);
    let path = if path.is_absolute() { path } else { caller.directory(named.directory)?.join(path) };
    let (root, rest) = supervised.judge.beneath(&path).ok_or(Errno::ACCESS)?;
    let rest = if rest.as_os_str().is_empty() { Path::new(".") } else { rest };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let mut flags = OFlags::PATH | OFlags::CLOEXEC;
    if named.flags & NO_FOLLOW != 0 {
        flags |= OFlags::NOFOLLOW;
    }
    openat2(supervised.roots[root].as_fd(), rest, flags, Mode::empty(), resolve).map_err(outside)
}

/// A file without a name is nobody else's, nor is memory that looks like one.
fn is_own(supervised: &Supervised, path: &Path) -> bool {
    // Not by components: the kernel writes "/memfd:NAME (deleted)".
    path.as_os_str().as_encoded_bytes().starts_with(b"/memfd:") || supervised.judge.beneath(path).is_some()
}

/// `struct timespec[2]`; without: now.
fn times(caller: &Caller, address: u64) -> Result<Timestamps, Errno> {
    const NOW: i64 = (1 << 30) - 1;
    let now = Timespec { tv_sec: 0, tv_nsec: NOW };
    if address == 0 {
        return Ok(Timestamps { last_access: now, last_modification: now });
    }
    let at = |offset: u64| caller.word(address.wrapping_add(offset)).map(u64::cast_signed);
    let time = |offset: u64| Ok::<_, Errno>(Timespec { tv_sec: at(offset)?, tv_nsec: at(offset + 8)? });
    Ok(Timestamps { last_access: time(0)?, last_modification: time(16)? })
}
