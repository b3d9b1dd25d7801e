//! What the kernel allows: open files, cgroups for limits of memory; and the clock.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, getrlimit};

use super::finding::Finding;

/// A node with its databases, connections and a few workers.
const FILES_LEAST: u64 = 256;
/// With pools and a cluster.
const FILES_WANTED: u64 = 1024;
/// 1 January 2025: this program is younger.
const CLOCK_LEAST_MS: u64 = 1_735_689_600_000;

/// What there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MachineFacts {
    /// `None`: no limit.
    pub open_files: Option<u64>,
    /// Why workers cannot be held by cgroups.
    pub no_cgroup: Option<String>,
    /// A pool has a `memory_limit`.
    pub limits_memory: bool,
    pub now_ms: u64,
}

/// Asks the kernel. A cgroup is made and removed.
pub(super) fn gather(limits_memory: bool) -> MachineFacts {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    MachineFacts {
        open_files: getrlimit(Resource::Nofile).current,
        no_cgroup: dspex_python::probe_cgroup().err().map(|error| error.to_string()),
        limits_memory,
        now_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
    }
}

/// What the facts say.
pub(super) fn check(facts: &MachineFacts) -> Vec<Finding> {
    let mut findings = vec![open_files(facts.open_files), memory(facts)];
    if facts.now_ms < CLOCK_LEAST_MS {
        let says = "this machine's clock stands in the past: certificates and tokens will be refused";
        findings.push(Finding::failure("clock", says, "set the clock, by NTP if you can"));
    }
    findings
}

fn open_files(limit: Option<u64>) -> Finding {
    const CHECK: &str = "open-files";
    let says = |limit: u64| format!("a process may have {limit} files and connections open");
    let advice = "raise it: `ulimit -n 4096` in this shell, LimitNOFILE= with systemd";
    match limit {
        Some(limit) if limit < FILES_LEAST => Finding::failure(CHECK, says(limit), advice),
        Some(limit) if limit < FILES_WANTED => Finding::warning(CHECK, says(limit), advice),
        Some(limit) => Finding::ok(CHECK, says(limit)),
        None => Finding::ok(CHECK, "a process may have any number of files and connections open"),
    }
}

fn memory(facts: &MachineFacts) -> Finding {
    const CHECK: &str = "memory-limits";
    match &facts.no_cgroup {
        None => Finding::ok(CHECK, "a cgroup holds a worker to its memory_limit"),
        Some(why) => {
            let says =
                format!("no cgroup can be made ({why}): a node looks four times a second at what a worker takes");
            if facts.limits_memory {
                let advice =
                    "let the node make cgroups (systemd: Delegate=memory), or leave room for what is taken meanwhile";
                Finding::warning(CHECK, says, advice)
            } else {
                Finding::ok(CHECK, format!("{says}, where a memory_limit is set"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::State;

    fn facts() -> MachineFacts {
        MachineFacts { open_files: Some(4096), no_cgroup: None, limits_memory: false, now_ms: CLOCK_LEAST_MS }
    }

    fn states(facts: &MachineFacts) -> Vec<State> {
        check(facts).iter().map(|finding| finding.state).collect()
    }

    #[test]
    fn a_machine_with_room_is_ok() {
        assert_eq!(states(&facts()), [State::Ok, State::Ok]);
        assert_eq!(states(&MachineFacts { open_files: None, ..facts() }), [State::Ok, State::Ok]);
    }

    #[test]
    fn few_open_files_are_told() {
        let with = |limit| states(&MachineFacts { open_files: Some(limit), ..facts() })[0];
        assert_eq!((with(100), with(512), with(1024)), (State::Failure, State::Warning, State::Ok));
    }

    #[test]
    fn a_missing_cgroup_matters_where_memory_is_limited() {
        let without = MachineFacts { no_cgroup: Some("Permission denied".to_owned()), ..facts() };
        assert_eq!(states(&without)[1], State::Ok);
        assert_eq!(states(&MachineFacts { limits_memory: true, ..without })[1], State::Warning);
    }

    #[test]
    fn a_clock_in_the_past_is_a_failure() {
        assert_eq!(states(&MachineFacts { now_ms: 0, ..facts() })[2], State::Failure);
    }
}
