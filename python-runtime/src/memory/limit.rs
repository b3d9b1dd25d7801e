//! A limit of memory for one worker with its children: a cgroup of its own where this process may make one, else by looking.
//!
//! Never RLIMIT_AS: threads and mapped files need address space that is no memory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
        let group = Group::make(name, bytes).and_then(|group| group.take(pid).map(|()| group)).ok();
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
    Group::make(&format!("probe-{}", std::process::id()), 1 << 30).map(drop)
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

/// A cgroup; removed when it is dropped, which the kernel refuses while a process is in it.
#[derive(Debug)]
struct Group {
    directory: PathBuf,
    is_unified: bool,
}

impl Group {
    fn make(name: &str, bytes: u64) -> io::Result<Self> {
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let (parent, is_unified) = parent(&own).ok_or_else(|| io::Error::other("no memory controller"))?;
        let directory = parent.join(format!("dspex-{name}"));
        fs::create_dir(&directory)?;
        let group = Self { directory, is_unified };
        let limit = if is_unified { "memory.max" } else { "memory.limit_in_bytes" };
        group.write(limit, &bytes.to_string())?;
        if is_unified {
            // A child that is ended takes its worker along: half a program is of no use.
            let _ = group.write("memory.oom.group", "1");
            let _ = group.write("memory.swap.max", "0");
        }
        Ok(group)
    }

    fn take(&self, pid: u32) -> io::Result<()> {
        self.write("cgroup.procs", &pid.to_string())
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        fs::write(self.directory.join(file), text)
    }

    fn has_killed(&self) -> bool {
        let file = if self.is_unified { "memory.events" } else { "memory.oom_control" };
        fs::read_to_string(self.directory.join(file)).is_ok_and(|text| kills(&text) > 0)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let directory = std::mem::take(&mut self.directory);
        if fs::remove_dir(&directory).is_err() {
            // Its last processes are ending.
            std::thread::spawn(move || {
                for _ in 0..50 {
                    std::thread::sleep(Duration::from_millis(100));
                    if fs::remove_dir(&directory).is_ok() {
                        return;
                    }
                }
            });
        }
    }
}

/// The directory of this process's own memory cgroup, and whether it is of the unified hierarchy.
fn parent(own: &str) -> Option<(PathBuf, bool)> {
    let of_memory = own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let controllers = parts.nth(1)?;
        controllers.split(',').any(|one| one == "memory").then(|| parts.next()).flatten()
    });
    if let Some(path) = of_memory {
        return existing(Path::new("/sys/fs/cgroup/memory"), path).map(|directory| (directory, false));
    }
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let directory = existing(Path::new("/sys/fs/cgroup"), path)?;
    // Without the controller a group would hold nothing.
    let controllers = fs::read_to_string(directory.join("cgroup.subtree_control")).ok()?;
    controllers.split_whitespace().any(|one| one == "memory").then_some((directory, true))
}

/// In a container the path is the host's, and the mount begins at the container's own group.
fn existing(mount: &Path, path: &str) -> Option<PathBuf> {
    let named = mount.join(path.trim_start_matches('/'));
    [named, mount.to_owned()].into_iter().find(|directory| directory.join("cgroup.procs").exists())
}

fn kills(events: &str) -> u64 {
    events
        .lines()
        .filter_map(|line| line.strip_prefix("oom_kill "))
        .filter_map(|count| count.trim().parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_count_of_kills_is_read_from_both_hierarchies() {
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"), 3);
        assert_eq!(kills("low 0\nhigh 0\nmax 5\noom 1\noom_kill 1\noom_group_kill 1\n"), 1);
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\n"), 0);
    }

    #[test]
    fn a_probe_leaves_no_cgroup_behind() {
        // Whether one can be made is the machine's business.
        let _ = probe_cgroup();
        let own = fs::read_to_string("/proc/self/cgroup").expect("readable");
        let probe = format!("dspex-probe-{}", std::process::id());
        assert!(!parent(&own).is_some_and(|(directory, _)| directory.join(probe).exists()));
    }

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
