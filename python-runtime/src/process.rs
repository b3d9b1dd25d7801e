//! Processes as the kernel shows them: fingerprints that survive the reuse of pids, and kills that never hit a stranger.
//!
//! A pid alone says nothing: the kernel hands it out again. A process is recognised by (pid, start ticks, boot id), and is
//! signalled through a pidfd that was opened *before* the comparison, so that no other process can take its place in between.

use std::fs;
use std::sync::OnceLock;

use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::environment::INSTANCE_VARIABLE;

/// What tells one process from every other of this boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// The process id.
    pub pid: u32,
    /// When it started: field 22 of `/proc/PID/stat`, in clock ticks since boot.
    pub start_ticks: u64,
}

impl Fingerprint {
    /// The fingerprint of a running process (or zombie).
    pub fn of(pid: u32) -> Option<Self> {
        start_ticks(pid).map(|start_ticks| Self { pid, start_ticks })
    }

    /// Whether this very process runs. A zombie does not.
    pub fn is_running(&self) -> bool {
        Stat::read(self.pid).is_some_and(|stat| stat.start_ticks == self.start_ticks && !stat.is_zombie())
    }

    /// Kills this very process, or does nothing.
    pub fn kill(&self) -> bool {
        kill_if(self.pid, |stat| stat.start_ticks == self.start_ticks)
    }
}

/// A process's start in clock ticks since boot.
pub fn start_ticks(pid: u32) -> Option<u64> {
    Stat::read(pid).map(|stat| stat.start_ticks)
}

/// The kernel's name for this boot: start ticks mean nothing in another one.
pub fn boot_id() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned())
}

/// What is needed of `/proc/PID/stat`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub state: char,
    pub group: u32,
    pub start_ticks: u64,
}

impl Stat {
    pub fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The command's name (field 2) may hold spaces and parentheses: fields count from the last ')'.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_ascii_whitespace().collect();
        Some(Self {
            state: fields.first()?.chars().next()?,
            group: fields.get(2)?.parse().ok()?,
            start_ticks: fields.get(19)?.parse().ok()?,
        })
    }

    pub fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

/// Opens a process, so that later signals reach it and no successor.
pub(crate) fn open(pid: u32) -> Option<OwnedFd> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

pub(crate) fn kill_opened(process: &OwnedFd) -> bool {
    pidfd_send_signal(process, Signal::KILL).is_ok()
}

fn kill_if(pid: u32, ours: impl Fn(&Stat) -> bool) -> bool {
    signal_if(pid, Signal::KILL, ours)
}

fn signal_if(pid: u32, signal: Signal, ours: impl Fn(&Stat) -> bool) -> bool {
    let Some(process) = open(pid) else { return false };
    match Stat::read(pid) {
        Some(stat) if !stat.is_zombie() && ours(&stat) => pidfd_send_signal(&process, signal).is_ok(),
        _ => false,
    }
}

/// A process group that this node, or an instance of it that crashed, has made.
#[derive(Debug, Clone)]
pub(crate) struct OwnedGroup {
    pub leader: Fingerprint,
    /// The instance token in the environment of everything that descends from the zygote.
    pub instance: String,
}

impl OwnedGroup {
    /// A member is ours when the group's leader still is the process we know, or when it carries our instance token: once the
    /// leader is gone, its number may have become another's group.
    fn owns(&self, pid: u32, stat: &Stat) -> bool {
        stat.group == self.leader.pid
            && (start_ticks(self.leader.pid) == Some(self.leader.start_ticks) || carries_instance(pid, &self.instance))
    }
}

/// Kills the members of the groups and returns the pids that it killed. Repeats until a pass finds nothing, because a member
/// may fork while its siblings are being killed.
pub(crate) fn kill_groups(groups: &[OwnedGroup]) -> Vec<u32> {
    const PASSES: usize = 10;
    let mut killed = Vec::new();
    for _ in 0..PASSES {
        let mut found = false;
        let (leaders, members): (Vec<u32>, Vec<u32>) =
            processes().into_iter().partition(|pid| groups.iter().any(|group| group.leader.pid == *pid));
        let ours = |pid: u32, stat: &Stat| groups.iter().any(|group| group.owns(pid, stat));
        // The leaders come last: while one is there, its group is certainly ours. Until then they stand still, so that none
        // acts on the death of what it started.
        for &pid in &leaders {
            signal_if(pid, Signal::STOP, |stat| ours(pid, stat));
        }
        for pid in members.into_iter().chain(leaders) {
            if kill_if(pid, |stat| ours(pid, stat)) {
                found = true;
                if !killed.contains(&pid) {
                    killed.push(pid);
                }
            }
        }
        if !found {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    killed
}

/// The parent of a process; `None` when it is gone.
pub(crate) fn parent_of(pid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// The children of a process, of all its threads; none when it is gone.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let listed = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    listed.flat_map(|line| line.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()).collect()
}

/// Every process of the machine that is visible.
pub(crate) fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Whether a process was started with this instance token in its environment.
fn carries_instance(pid: u32, instance: &str) -> bool {
    let wanted = format!("{INSTANCE_VARIABLE}={instance}");
    !instance.is_empty()
        && fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_may_hold_anything() {
        let text = "42 (a) b (c) S 1 40 40 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 777 1000 10";
        assert_eq!(Stat::parse(text), Some(Stat { state: 'S', group: 40, start_ticks: 777 }));
        assert_eq!(Stat::parse("42 (short) S 1"), None);
    }

    #[test]
    fn a_fingerprint_is_of_one_process_only() {
        let own = Fingerprint::of(std::process::id()).expect("this process");
        assert!(own.is_running());
        let earlier = Fingerprint { start_ticks: own.start_ticks - 1, ..own };
        assert!(!earlier.is_running());
        assert!(!earlier.kill(), "would have ended this test");
    }
}
