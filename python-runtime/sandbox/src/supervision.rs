//! Answers for the kernel where it cannot judge: a worker's call waits, the node looks, and does it in the worker's place or
//! refuses.
//!
//! The arguments of such a call lie in the worker's memory, which its other threads may change at any time. So the node copies
//! them, judges the copy, and acts on the copy: it takes the worker's socket to itself and connects it, or changes the mode of the
//! file that it has opened. Only calls whose arguments are numbers go on in the kernel, so that no race is left.

mod caller;
mod connecting;
mod files;
mod signals;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

use crate::filter::Syscall;
use crate::judge::Judge;
use crate::system::{self, Answer, Notification};
use caller::Caller;

/// Calls of one worker that are being done at once. Further ones wait in the kernel.
const AT_ONCE: usize = 64;
/// Calls of one worker in a while: one that only asks must not take the node's time from the others.
const ANSWERS_MAX: u32 = 500;
const WHILE: Duration = Duration::from_millis(100);

/// Where the calls of a worker come in.
#[derive(Debug)]
pub struct Listener {
    descriptor: OwnedFd,
}

impl Listener {
    /// Takes it from the worker that made it, which then closes its own.
    ///
    /// # Errors
    /// When the worker has none of this number.
    pub fn take(worker: u32, number: i32) -> io::Result<Self> {
        let pid = i32::try_from(worker).ok().and_then(Pid::from_raw).ok_or(Errno::INVAL)?;
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Self { descriptor: pidfd_getfd(process, number, PidfdGetfdFlags::empty())? })
    }
}

/// What is known of one worker.
#[derive(Debug)]
struct Supervised {
    listener: AsyncFd<OwnedFd>,
    judge: Judge,
    /// The judge's roots, opened.
    roots: Vec<OwnedFd>,
    worker: u32,
}

/// Answers the calls of a worker until it has ended with all its children.
///
/// # Errors
/// When its directories cannot be opened, or its listener is none.
pub async fn supervise(listener: Listener, judge: Judge, worker: u32) -> io::Result<()> {
    let roots = judge.roots.iter().map(|root| open_root(root)).collect::<io::Result<_>>()?;
    let listener = system::awaited(listener.descriptor, Interest::READABLE)?;
    let supervised = Arc::new(Supervised { listener, judge, roots, worker });
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut pace = Pace { end: Instant::now(), answers: 0 };
    loop {
        let mut ready = supervised.listener.readable().await?;
        match waiting(supervised.listener.get_ref())? {
            Waiting::Call => {}
            Waiting::Nobody => {
                ready.clear_ready();
                continue;
            }
            Waiting::End => return Ok(()),
        }
        sleep_until(pace.keep(Instant::now())).await;
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(()) };
        // One whose caller has died meanwhile is gone.
        let Ok(notification) = system::receive(supervised.listener.get_ref().as_fd()) else { continue };
        match supervised.answer(&notification) {
            Done::Now(answer) => supervised.send(&notification, answer),
            Done::Later(connecting) => {
                let supervised = Arc::clone(&supervised);
                tokio::spawn(async move {
                    let answer = connecting.finish().await;
                    supervised.send(&notification, answer);
                    drop(place);
                });
            }
        }
    }
}

/// How many calls were answered in the current while.
struct Pace {
    end: Instant,
    answers: u32,
}

impl Pace {
    /// One more: when it is its time, which may be at once.
    fn keep(&mut self, now: Instant) -> Instant {
        let time = if self.answers >= ANSWERS_MAX { now.max(self.end) } else { now };
        if time >= self.end {
            *self = Self { end: time + WHILE, answers: 0 };
        }
        self.answers += 1;
        time
    }
}

fn open_root(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

enum Waiting {
    Call,
    Nobody,
    End,
}

/// Asked before each look: to receive waits where there is nothing, and the thread is needed by others.
fn waiting(listener: &OwnedFd) -> io::Result<Waiting> {
    let mut descriptors = [PollFd::new(listener, PollFlags::IN)];
    poll(&mut descriptors, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    let events = descriptors[0].revents();
    Ok(if events.contains(PollFlags::IN) {
        Waiting::Call
    } else if events.intersects(PollFlags::HUP | PollFlags::ERR) {
        Waiting::End
    } else {
        Waiting::Nobody
    })
}

enum Done {
    Now(Answer),
    Later(connecting::Connecting),
}

impl Supervised {
    fn send(&self, notification: &Notification, answer: Answer) {
        // A caller that is gone needs no answer.
        let _ = system::answer(self.listener.get_ref().as_fd(), notification.id, answer);
    }

    fn answer(&self, notification: &Notification) -> Done {
        let number = notification.number;
        let is = |call: Syscall| call.is(number);
        if [Syscall::KILL, Syscall::TKILL, Syscall::TGKILL, Syscall::RT_SIGQUEUEINFO, Syscall::RT_TGSIGQUEUEINFO]
            .into_iter()
            .any(is)
        {
            return Done::Now(signals::judge(notification, self.worker));
        }
        let answered = Caller::open(self.listener.get_ref().as_fd(), notification).and_then(|caller| {
            if is(Syscall::CONNECT) {
                return connecting::connect(self, &caller, notification);
            }
            files::change(self, &caller, notification).map(Done::Now)
        });
        answered.unwrap_or_else(|errno| Done::Now(Answer::Error(errno.raw_os_error())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_without_end_is_made_to_wait() {
        let began = Instant::now();
        let mut pace = Pace { end: began, answers: 0 };
        let mut asks = |times: u32, now: Instant| (0..times).fold(now, |now, _| pace.keep(now));
        let mut now = asks(ANSWERS_MAX, began);
        assert_eq!(now, began, "as many at once");
        now = asks(1, now);
        assert_eq!(now, began + WHILE);
        now = asks(3 * ANSWERS_MAX, now);
        assert_eq!(now, began + 4 * WHILE);
        let later = now + 2 * WHILE;
        assert_eq!(asks(ANSWERS_MAX, later), later, "who waited by itself owes nothing");
    }
}
