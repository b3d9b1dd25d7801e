//! The unsafe code of this project, all of it: what no safe library does. Each function is one call and nothing else.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::raw::{c_int, c_uint, c_ulong};
use std::ptr;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// `LANDLOCK_CREATE_RULESET_VERSION`.
const LANDLOCK_VERSION: c_uint = 1;
/// `SECCOMP_GET_ACTION_AVAIL`.
const ACTION_AVAILABLE: c_uint = 2;
/// `SECCOMP_IOCTL_NOTIF_RECV`: `_IOWR('!', 0, struct seccomp_notif)`.
const RECEIVE: c_ulong = 0xc050_2100;
/// `SECCOMP_IOCTL_NOTIF_SEND`: `_IOWR('!', 1, struct seccomp_notif_resp)`.
const SEND: c_ulong = 0xc018_2101;
/// `SECCOMP_IOCTL_NOTIF_ID_VALID`: `_IOW('!', 2, __u64)`.
const ID_VALID: c_ulong = 0x4008_2102;
/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`.
const CONTINUE: u32 = 1;

/// A system call that waits for an answer: `struct seccomp_notif`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Notification {
    pub id: u64,
    /// The thread that called.
    pub thread: u32,
    pub flags: u32,
    pub number: c_int,
    pub architecture: u32,
    pub instruction: u64,
    pub arguments: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// What the caller gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// This result.
    Value(i64),
    /// This errno.
    Error(i32),
    /// The kernel executes the call. It reads its arguments again: only for calls whose arguments are numbers, or where it does
    /// no harm that they changed meanwhile.
    Continue,
}

/// The version of Landlock.
pub(crate) fn landlock_version() -> io::Result<u32> {
    // SAFETY: With a null pointer, no size and this flag the kernel touches no memory of ours and only answers.
    let answer = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, ptr::null::<libc::c_void>(), 0_usize, LANDLOCK_VERSION)
    };
    u32::try_from(answer).map_err(|_| io::Error::last_os_error())
}

/// Whether seccomp can let another process answer for the kernel.
pub(crate) fn seccomp_notifies() -> io::Result<()> {
    let action: u32 = libc::SECCOMP_RET_USER_NOTIF;
    // SAFETY: The kernel reads the four bytes behind the pointer, which live until the call returns.
    let answer = unsafe { libc::syscall(libc::SYS_seccomp, ACTION_AVAILABLE, 0, ptr::from_ref(&action)) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The next notification. Waits for one where none is there: ask `poll` first.
pub(crate) fn receive(listener: BorrowedFd<'_>) -> io::Result<Notification> {
    // The kernel wants zeroes.
    let mut notification = Notification::default();
    // SAFETY: The kernel writes a `struct seccomp_notif`, whose size is in the request's number, into one of ours.
    let answer = unsafe { libc::ioctl(listener.as_raw_fd(), RECEIVE as _, ptr::from_mut(&mut notification)) };
    if answer == 0 { Ok(notification) } else { Err(io::Error::last_os_error()) }
}

/// Answers a notification. An error means that the caller is gone.
pub(crate) fn answer(listener: BorrowedFd<'_>, id: u64, answer: Answer) -> io::Result<()> {
    let mut response = match answer {
        Answer::Value(value) => Response { id, value, error: 0, flags: 0 },
        Answer::Error(errno) => Response { id, value: 0, error: -errno, flags: 0 },
        Answer::Continue => Response { id, value: 0, error: 0, flags: CONTINUE },
    };
    // SAFETY: The kernel reads a `struct seccomp_notif_resp`, whose size is in the request's number, from ours.
    let sent = unsafe { libc::ioctl(listener.as_raw_fd(), SEND as _, ptr::from_mut(&mut response)) };
    if sent == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether the caller still waits: until then its thread's number is its own.
pub(crate) fn still_waits(listener: BorrowedFd<'_>, id: u64) -> bool {
    // SAFETY: The kernel reads the eight bytes behind the pointer, which live until the call returns.
    unsafe { libc::ioctl(listener.as_raw_fd(), ID_VALID as _, ptr::from_ref(&id)) == 0 }
}

/// A descriptor whose events tasks can wait for.
pub(crate) fn awaited(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: An `OwnedFd` stays open and the same for as long as it lives, and what is returned owns it and gives it to nobody.
    unsafe { AsyncFd::register_with_interest(descriptor, interest) }.map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_reads_and_writes_has_its_size() {
        assert_eq!((size_of::<Notification>(), size_of::<Response>()), (80, 24));
        // The size is in the bits 16 to 29 of a request's number.
        assert_eq!(((RECEIVE >> 16) & 0x3fff, (SEND >> 16) & 0x3fff, (ID_VALID >> 16) & 0x3fff), (80, 24, 8));
    }

    #[test]
    fn the_kernel_answers_for_itself_or_says_why_not() {
        // Both are the machine's business; neither may do anything else.
        for answer in [landlock_version().map(|_| ()), seccomp_notifies()] {
            assert!(answer.map_or_else(|error| error.raw_os_error().is_some(), |()| true));
        }
    }
}
