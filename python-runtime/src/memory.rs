//! How much memory Python processes take.
//!
//! Counted as PSS: pages that workers share with their zygote are divided among them, so that the sum over all is what the
//! machine really gives.

mod group;
mod limit;

use std::collections::BTreeMap;
use std::fs;

pub use group::remove_left_groups;
pub(crate) use group::{Controller, Group};
pub use limit::{MemoryLimit, beyond_limit, probe_cgroup, probe_process_cgroup};

use crate::process::{parent_of, processes};

/// The share of memory of each process with its descendants, in bytes. Those that are gone are left out.
pub fn memory_of(pids: &[u32]) -> BTreeMap<u32, u64> {
    let parents: BTreeMap<u32, u32> = processes().into_iter().filter_map(|pid| Some((pid, parent_of(pid)?))).collect();
    let own = |pid: &&u32| **pid != 0 && parents.contains_key(pid);
    pids.iter().filter(own).map(|&pid| (pid, total(pid, &parents))).collect()
}

fn total(root: u32, parents: &BTreeMap<u32, u32>) -> u64 {
    let descends = |pid: u32| {
        let mut current = pid;
        // A process table that changes while it is read may hold a loop.
        for _ in 0..64 {
            if current == root {
                return true;
            }
            match parents.get(&current) {
                Some(&parent) => current = parent,
                None => return false,
            }
        }
        false
    };
    parents.keys().filter(|&&pid| descends(pid)).filter_map(|&pid| pss(pid)).sum()
}

/// Proportional set size in bytes; `None` for a process that is gone or another user's.
fn pss(pid: u32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    parse_pss(&rollup)
}

fn parse_pss(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_read() {
        assert_eq!(parse_pss("00400000-7ff\nRss:   10 kB\nPss:      17 kB\nPss_Dirty: 3 kB\n"), Some(17 * 1024));
        assert_eq!(parse_pss("Rss: 1 kB\n"), None);
    }

    #[test]
    fn this_process_takes_some_and_a_child_is_counted_in() {
        let own = std::process::id();
        let alone = memory_of(&[own, 0])[&own];
        assert!(alone > 100 * 1024, "{alone}");
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleeps");
        let found = memory_of(&[own, child.id()]);
        child.kill().expect("killed");
        child.wait().expect("reaped");
        assert!(found[&child.id()] > 0 && found[&own] > found[&child.id()], "{found:?}");
    }
}
