//! Cgroups: one for each worker with a limit, beneath the node's own, with the node's fingerprint in its name. Two limits of one
//! worker share its group where there is one hierarchy for all.
//!
//! A node that was killed leaves its groups behind, empty. The next one beneath the same group removes them. Nothing can be hurt by
//! that: the kernel refuses to remove a group that holds a process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::process::Fingerprint;

/// For the last processes of a group to end.
const REMOVAL_TRIES: usize = 50;
const REMOVAL_PAUSE: Duration = Duration::from_millis(100);

/// What a group limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Controller {
    Memory,
    /// Threads are among them.
    Processes,
}

impl Controller {
    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Processes => "pids",
        }
    }

    fn limit(self, is_unified: bool) -> &'static str {
        match (self, is_unified) {
            (Self::Memory, true) => "memory.max",
            (Self::Memory, false) => "memory.limit_in_bytes",
            (Self::Processes, _) => "pids.max",
        }
    }
}

/// A cgroup; removed when it is dropped, which the kernel refuses while a process is in it.
#[derive(Debug)]
pub(crate) struct Group {
    directory: PathBuf,
    is_unified: bool,
}

impl Group {
    pub(crate) fn make(name: &str, controller: Controller, limit: u64) -> io::Result<Self> {
        let (parent, is_unified) = own_parent(controller)?;
        let owner =
            Fingerprint::of(std::process::id()).ok_or_else(|| io::Error::other("no start time of this process"))?;
        let directory = parent.join(directory_name(owner, name));
        match fs::create_dir(&directory) {
            // It has another limit already.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
        let group = Self { directory, is_unified };
        group.write(controller.limit(is_unified), &limit.to_string())?;
        if is_unified && controller == Controller::Memory {
            // A child that is ended takes its worker along: half a program is of no use.
            let _ = group.write("memory.oom.group", "1");
            let _ = group.write("memory.swap.max", "0");
        }
        Ok(group)
    }

    pub(crate) fn take(&self, pid: u32) -> io::Result<()> {
        self.write("cgroup.procs", &pid.to_string())
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        fs::write(self.directory.join(file), text)
    }

    pub(super) fn has_killed(&self) -> bool {
        let file = if self.is_unified { "memory.events" } else { "memory.oom_control" };
        fs::read_to_string(self.directory.join(file)).is_ok_and(|text| kills(&text) > 0)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        remove(vec![std::mem::take(&mut self.directory)]);
    }
}

/// Removes the cgroups that dead nodes left beside those of this one, and gives their number. Of any home and user: what this
/// user may not remove stays.
pub fn remove_left_groups() -> usize {
    let mut left = Vec::new();
    for controller in [Controller::Memory, Controller::Processes] {
        // Without a parent there is nothing to look through.
        left.extend(own_parent(controller).map(|(parent, _)| left_in(&parent)).unwrap_or_default());
    }
    // In one hierarchy for all they were found twice.
    left.sort();
    left.dedup();
    let count = left.len();
    remove(left);
    count
}

/// The groups of nodes that do not run any more.
fn left_in(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let is_left = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.and_then(owner_of).is_some_and(|owner| !owner.is_running())
    };
    entries.map(|entry| entry.path()).filter(is_left).collect()
}

fn directory_name(owner: Fingerprint, name: &str) -> String {
    format!("dspex-{}-{}-{name}", owner.pid, owner.start_ticks)
}

fn owner_of(name: &str) -> Option<Fingerprint> {
    let mut parts = name.strip_prefix("dspex-")?.splitn(3, '-');
    let owner = Fingerprint { pid: parts.next()?.parse().ok()?, start_ticks: parts.next()?.parse().ok()? };
    parts.next().map(|_| owner)
}

/// At once where that is possible, else in the background as soon as the last processes have ended.
fn remove(directories: Vec<PathBuf>) {
    let mut left = still_there(directories);
    if left.is_empty() {
        return;
    }
    std::thread::spawn(move || {
        for _ in 0..REMOVAL_TRIES {
            std::thread::sleep(REMOVAL_PAUSE);
            left = still_there(left);
            if left.is_empty() {
                return;
            }
        }
    });
}

fn still_there(directories: Vec<PathBuf>) -> Vec<PathBuf> {
    directories.into_iter().filter(|directory| fs::remove_dir(directory).is_err() && directory.exists()).collect()
}

fn own_parent(controller: Controller) -> io::Result<(PathBuf, bool)> {
    let own = fs::read_to_string("/proc/self/cgroup")?;
    parent(&own, controller).ok_or_else(|| io::Error::other(format!("no {} controller", controller.name())))
}

/// The directory of this process's own cgroup of a controller, and whether it is of the unified hierarchy.
fn parent(own: &str, controller: Controller) -> Option<(PathBuf, bool)> {
    let of_its_own = own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let controllers = parts.nth(1)?;
        controllers.split(',').any(|one| one == controller.name()).then(|| parts.next()).flatten()
    });
    if let Some(path) = of_its_own {
        let mount = Path::new("/sys/fs/cgroup").join(controller.name());
        return existing(&mount, path).map(|directory| (directory, false));
    }
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let directory = existing(Path::new("/sys/fs/cgroup"), path)?;
    // Without the controller a group would hold nothing.
    let controllers = fs::read_to_string(directory.join("cgroup.subtree_control")).ok()?;
    controllers.split_whitespace().any(|one| one == controller.name()).then_some((directory, true))
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
    fn a_group_that_is_dropped_is_gone() {
        for (controller, limit) in [(Controller::Memory, 1 << 30), (Controller::Processes, 100)] {
            // Whether one can be made is the machine's business.
            let made = Group::make("dropped", controller, limit).map(|group| group.directory.clone());
            assert!(!made.is_ok_and(|directory| directory.exists()), "{controller:?}");
        }
    }

    #[test]
    fn a_worker_has_one_name_whatever_limits_it_has() {
        let both = [(Controller::Memory, 1 << 30), (Controller::Processes, 100)];
        let made: Vec<_> = both.map(|(controller, limit)| Group::make("both", controller, limit)).into();
        if let [Ok(memory), Ok(processes)] = made.as_slice() {
            assert_eq!(memory.directory.file_name(), processes.directory.file_name());
        }
    }

    #[test]
    fn a_controller_is_found_where_it_has_a_hierarchy_of_its_own() {
        let own = "12:pids:/a\n4:memory:/a\n0::/a\n";
        for controller in [Controller::Memory, Controller::Processes] {
            // Whether it is mounted is the machine's business.
            let found = parent(own, controller)
                .map(|(directory, is_unified)| (directory.starts_with("/sys/fs/cgroup"), is_unified));
            assert!(found.is_none_or(|found| found == (true, false)), "{found:?}");
        }
    }

    #[test]
    fn only_empty_groups_of_nodes_that_are_gone_are_removed() {
        let parent = tempfile::tempdir().expect("a directory");
        let own = Fingerprint::of(std::process::id()).expect("this process");
        let gone = Fingerprint { start_ticks: own.start_ticks - 1, ..own };
        let made = |name: &str| {
            let directory = parent.path().join(name);
            fs::create_dir(&directory).expect("a directory");
            directory
        };
        let left = made(&directory_name(gone, "python_worker_1_0a1b"));
        let full = made(&directory_name(gone, "worker-01a2-03b4"));
        // What the kernel refuses for a process, a file system refuses for a file.
        fs::write(full.join("file"), "").expect("a file");
        let kept = [
            made(&directory_name(own, "python_worker_1_0a1b")),
            made("dspex-python_worker_1"),
            made("dspex-1-x-worker"),
            made("other"),
        ];
        let mut found = left_in(parent.path());
        found.sort();
        let mut expected = vec![left.clone(), full.clone()];
        expected.sort();
        assert_eq!(found, expected);
        assert_eq!(still_there(found), [full]);
        assert!(!left.exists() && kept.iter().all(|directory| directory.exists()));
    }
}
