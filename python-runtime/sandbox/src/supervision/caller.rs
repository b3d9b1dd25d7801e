//! The process behind a notification: its memory and its descriptors.

use std::fs::{self, File};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::system::{self, Notification};

/// The longest name of a file, with its end.
const PATH_MAX: usize = 4096;
/// `AT_FDCWD`
const CURRENT_DIRECTORY: i32 = -100;

/// A caller that waits.
#[derive(Debug)]
pub(super) struct Caller {
    thread: u32,
    process: OwnedFd,
    memory: File,
}

impl Caller {
    /// Opens what is needed of it, and then makes sure that it still is the one who called.
    pub(super) fn open(listener: BorrowedFd<'_>, notification: &Notification) -> Result<Self, Errno> {
        let thread = notification.thread;
        let process = process_of(thread).and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)).ok_or(Errno::SRCH)?;
        let process = pidfd_open(process, PidfdFlags::empty())?;
        let memory = File::open(format!("/proc/{thread}/mem")).map_err(|_| Errno::ACCESS)?;
        if !system::still_waits(listener, notification.id) {
            return Err(Errno::SRCH);
        }
        Ok(Self { thread, process, memory })
    }

    /// Its descriptor, as one of ours.
    pub(super) fn descriptor(&self, argument: u64) -> Result<OwnedFd, Errno> {
        pidfd_getfd(&self.process, number(argument), PidfdGetfdFlags::empty())
    }

    /// A copy of so many bytes of its memory.
    pub(super) fn bytes(&self, address: u64, count: usize) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0; count];
        self.memory.read_exact_at(&mut bytes, address).map_err(|_| Errno::FAULT)?;
        Ok(bytes)
    }

    /// Eight bytes, as a number.
    pub(super) fn word(&self, address: u64) -> Result<u64, Errno> {
        let bytes = self.bytes(address, 8)?;
        bytes.try_into().map(u64::from_ne_bytes).map_err(|_| Errno::FAULT)
    }

    /// A text that ends with a zero.
    pub(super) fn text(&self, address: u64) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0; PATH_MAX];
        // It may end before memory that is not there.
        let read = self.memory.read_at(&mut bytes, address).map_err(|_| Errno::FAULT)?;
        let end = bytes[..read].iter().position(|byte| *byte == 0);
        bytes.truncate(end.ok_or(if read == PATH_MAX { Errno::NAMETOOLONG } else { Errno::FAULT })?);
        Ok(bytes)
    }

    /// What a relative path begins with.
    pub(super) fn directory(&self, argument: u64) -> Result<PathBuf, Errno> {
        let name = match number(argument) {
            CURRENT_DIRECTORY => format!("/proc/{}/cwd", self.thread),
            descriptor => format!("/proc/{}/fd/{descriptor}", self.thread),
        };
        fs::read_link(name).map_err(|_| Errno::BADF)
    }
}

/// An int among the registers: the kernel looks at its lower half only.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn number(argument: u64) -> i32 {
    argument as i32
}

/// The process of a thread.
pub(super) fn process_of(thread: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}
