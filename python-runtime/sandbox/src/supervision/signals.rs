//! Signals, where Landlock does not keep them within a worker (before Linux 6.12). Their arguments are numbers: nothing changes
//! between the judgement and the call.

use std::fs;

use rustix::io::Errno;

use super::caller::{number, process_of};
use crate::filter::Syscall;
use crate::system::{Answer, Notification};

/// Generations between a process and its worker.
const GENERATIONS_MAX: usize = 64;

/// kill(2) and its relatives.
pub(super) fn judge(notification: &Notification, worker: u32) -> Answer {
    let target = number(notification.arguments[0]);
    let allowed = match target {
        // Its own group; a worker's processes have no group outside of it.
        0 => true,
        // All that its user may signal.
        -1 => false,
        group if group < 0 => belongs(group.unsigned_abs(), worker),
        pid if Syscall::TKILL.is(notification.number) => {
            process_of(pid.unsigned_abs()).is_some_and(|process| belongs(process, worker))
        }
        pid => belongs(pid.unsigned_abs(), worker),
    };
    if allowed { Answer::Continue } else { Answer::Error(Errno::PERM.raw_os_error()) }
}

/// Whether a process is the worker or descends from it.
fn belongs(pid: u32, worker: u32) -> bool {
    let mut current = pid;
    for _ in 0..GENERATIONS_MAX {
        if current == worker {
            return true;
        }
        match parent_of(current) {
            Some(parent) if parent > 1 => current = parent,
            _ => return false,
        }
    }
    false
}

fn parent_of(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_belongs_to_those_it_descends_from() {
        let own = std::process::id();
        let mut child = std::process::Command::new("sleep").arg("30").spawn().expect("sleeps");
        assert!(belongs(child.id(), own) && belongs(own, own));
        assert!(!belongs(own, child.id()) && !belongs(1, own) && !belongs(u32::MAX, own));
        child.kill().expect("killed");
        child.wait().expect("reaped");
    }

    #[test]
    fn everybody_and_other_groups_are_not_signalled() {
        let own = std::process::id();
        let call = |target: i64| Notification {
            arguments: [target.cast_unsigned(), 9, 0, 0, 0, 0],
            ..Notification::default()
        };
        assert_eq!(judge(&call(0), own), Answer::Continue);
        assert_eq!(judge(&call(i64::from(own)), own), Answer::Continue);
        for refused in [-1, 1, -i64::from(i32::MAX)] {
            assert_eq!(judge(&call(refused), own), Answer::Error(1), "{refused}");
        }
    }
}
