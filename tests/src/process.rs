//! Processes by their id: what Linux says of them, and signals to one of them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::waiting::holds_within;

/// kill -9. A process that is gone already is as good.
pub fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

/// What Ctrl-C sends.
pub fn interrupt(pid: u32) {
    signal(pid, Signal::INT);
}

/// What an operator or an init system sends.
pub fn terminate(pid: u32) {
    signal(pid, Signal::TERM);
}

/// Stops it for a while (SIGSTOP).
pub fn pause(pid: u32) {
    signal(pid, Signal::STOP);
}

/// Lets it go on (SIGCONT).
pub fn go_on(pid: u32) {
    signal(pid, Signal::CONT);
}

fn signal(pid: u32, signal: Signal) {
    let known = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("the id of a process");
    match kill_process(known, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => panic!("signal to {pid}: {error}"),
    }
}

/// Whether the process runs. A zombie does not: it waits for its parent only. But the first thread of a process becomes one
/// before the others have left, and until then its files and sockets are open.
pub fn runs(pid: u32) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat"));
    let is_zombie = |stat: &str| stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']));
    let threads = || fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    state.is_ok_and(|stat| !is_zombie(&stat) || threads() > 1)
}

/// Waits for the end of a process; false when it is still there after the limit.
pub fn ends_within(pid: u32, limit: Duration) -> bool {
    holds_within(limit, || !runs(pid))
}

/// The running processes that were started with this path in their command line. Forks keep the line of their parent.
pub fn started_with(path: &Path) -> Vec<u32> {
    let wanted = path.to_string_lossy();
    let entries = fs::read_dir("/proc").expect("/proc is there");
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|&pid| command_line(pid).contains(wanted.as_ref()) && runs(pid)).collect()
}

/// The memory that a process has now, in KiB; nothing when it is gone.
pub fn memory_kib(pid: u32) -> Option<u64> {
    status(pid, "VmRSS:")
}

/// The most memory that a process has had in its life, in KiB; nothing when it is gone.
pub fn peak_memory_kib(pid: u32) -> Option<u64> {
    status(pid, "VmHWM:")
}

fn status(pid: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The command line, its words separated by spaces; empty for a process that is gone.
pub fn command_line(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ")
}
