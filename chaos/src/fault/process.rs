//! A process by its id: what Linux says of it, and a handle that no later process of the same id can take.

use std::fs;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::FaultError;

/// A process.
#[derive(Debug)]
pub(super) struct Process {
    pid: u32,
    handle: OwnedFd,
}

impl Process {
    pub(super) fn of(pid: u32) -> Result<Self, FaultError> {
        let known = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(rustix::io::Errno::SRCH);
        let handle = known.and_then(|known| pidfd_open(known, PidfdFlags::empty()));
        let handle = handle.map_err(|error| FaultError::system(format!("process {pid}"))(error.into()))?;
        Ok(Self { pid, handle })
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<(), FaultError> {
        pidfd_send_signal(&self.handle, signal)
            .map_err(|error| FaultError::system(format!("{signal:?} to process {}", self.pid))(error.into()))
    }

    /// Whether it has ended, reaped or not.
    pub(super) fn is_gone(&self) -> bool {
        thread_states(self.pid).iter().all(|state| ['Z', 'X'].contains(state))
    }

    /// Waits until all its threads are in one of these states (`/proc/PID/stat`), or gone.
    pub(super) fn wait_for(&self, states: &[char], limit: Duration) -> Result<(), FaultError> {
        let begun = Instant::now();
        while !thread_states(self.pid).iter().all(|state| states.contains(state)) {
            if begun.elapsed() > limit {
                let doing = format!("threads of process {} in state {}", self.pid, String::from_iter(states));
                return Err(FaultError::TooLong { doing, limit });
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

fn thread_states(pid: u32) -> Vec<char> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let stats = threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
    // The name in parentheses may hold anything.
    stats.filter_map(|stat| stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())).collect()
}
