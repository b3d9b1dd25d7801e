//! No node takes more memory than a bound, at any time of its life.

use std::fs;

use crate::cluster::Cluster;
use crate::finding::Finding;

/// A node of a test: its state is small, its databases have caches.
pub const LIMIT_MEGABYTES: u64 = 1024;

/// Asks the kernel for the peak of each node's present life.
pub fn check(cluster: &mut Cluster) -> Finding {
    let (mut peaks, mut broken) = (Vec::new(), Vec::new());
    for position in 0..cluster.nodes().len() {
        let node = cluster.node(position);
        let Some(peak) = node.pid().and_then(peak_megabytes) else {
            broken.push(format!("{} does not run", node.name));
            continue;
        };
        peaks.push(format!("{peak} MiB"));
        if peak > LIMIT_MEGABYTES {
            broken.push(format!("{} has taken {peak} MiB, more than {LIMIT_MEGABYTES}", node.name));
        }
    }
    Finding::new("memory is bounded", format!("peaks {}", peaks.join(", ")), broken)
}

fn peak_megabytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = peak.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes.div_ceil(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_a_peak() {
        assert!(peak_megabytes(std::process::id()).expect("it runs") > 0);
    }
}
