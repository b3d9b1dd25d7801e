//! A limit of memory for one worker with its children: a cgroup of its own where this process may make one, else by looking.
//!
//! Never RLIMIT_AS: threads and mapped files need address space that is no memory.

use std::io;
use std::time::Duration;

use super::group::{Controller, Group};
use super::pss;
use crate::process::children;

/// How often memory is looked at where no cgroup holds it.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Holds a process to its limit as long as it lives.
#[derive(Debug)]
pub struct MemoryLimit {
    pid: u32,
    bytes: u64,
    group: Option<Group>,
}

impl MemoryLimit {
    /// Puts a process, before it has children, under a limit.
    pub fn new(pid: u32, name: &str, bytes: u64) -> Self {
        let group = Group::make(name, Controller::Memory, bytes).and_then(|group| group.take(pid).map(|()| group)).ok();
        Self { pid, bytes, group }
    }

    /// Completes when the process needs more than its limit; never when its cgroup holds it.
    pub async fn exceeded(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if self.group.is_none() && with_children(self.pid) > self.bytes {
                return;
            }
        }
    }

    /// Whether the kernel has ended a process of the group for its memory.
    pub fn killed_one(&self) -> bool {
        self.group.as_ref().is_some_and(Group::has_killed)
    }
}

/// Whether a cgroup can hold workers to their limits here; else why not, and memory is looked at instead.
///
/// # Errors
/// When this process may not make one.
pub fn probe_cgroup() -> io::Result<()> {
    // Dropped at once, and so removed.
    Group::make("probe", Controller::Memory, 1 << 30).map(drop)
}

/// Whether a cgroup can hold workers to their numbers of processes here; else why not.
///
/// # Errors
/// When this process may not make one.
pub fn probe_process_cgroup() -> io::Result<()> {
    Group::make("probe-processes", Controller::Processes, 100).map(drop)
}

/// "the worker needed more memory than its limit of 256 MiB".
pub fn beyond_limit(bytes: u64) -> String {
    let shown = if bytes >= 1 << 20 { format!("{} MiB", bytes >> 20) } else { format!("{bytes} bytes") };
    format!("the worker needed more memory than its limit of {shown} (memory_limit)")
}

fn with_children(root: u32) -> u64 {
    let mut waiting = vec![root];
    let mut sum = 0;
    while let Some(pid) = waiting.pop() {
        sum += pss(pid).unwrap_or(0);
        waiting.extend(children(pid));
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_is_held_whichever_way_there_is() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().expect("sleeps");
        let name = format!("test-{}", child.id());
        let roomy = MemoryLimit::new(child.id(), &name, 1 << 30);
        assert!(tokio::time::timeout(LOOK_EVERY * 3, roomy.exceeded()).await.is_err(), "a sleep needs little");
        assert!(!roomy.killed_one());
        let tight = MemoryLimit { pid: child.id(), bytes: 1, group: None };
        tokio::time::timeout(Duration::from_secs(10), tight.exceeded()).await.expect("noticed without a cgroup");
        child.kill().expect("killed");
        child.wait().expect("reaped");
        assert!(beyond_limit(256 << 20).contains("256 MiB"));
    }
}
