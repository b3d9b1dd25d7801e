//! Whether a process still exists, which ones belong to a directory, and ending with one.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal, test_kill_process};

/// From now on this process is told to end when its parent does; false when that was already so. To be called from the main
/// thread, before there are others.
pub fn end_with(parent: i32) -> bool {
    // Refused by no kernel of Linux; then the parent's own care has to do.
    let _ = set_parent_process_death_signal(Some(Signal::TERM));
    // It may have ended before the kernel was asked.
    getppid().map(Pid::as_raw_nonzero).is_some_and(|current| current.get() == parent)
}

/// A zombie counts as gone: it holds no file and no lock.
pub fn is_gone(pid: u32) -> bool {
    let Some(known) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return true;
    };
    if test_kill_process(known) == Err(rustix::io::Errno::SRCH) {
        return true;
    }
    // The state follows the name, which is in brackets and may itself hold brackets.
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

/// The processes that were started with this path in their command line, without this one. Forks keep the line of their parent.
pub fn started_with(path: &Path) -> BTreeSet<u32> {
    let wanted = path.as_os_str().as_encoded_bytes();
    let Ok(entries) = std::fs::read_dir("/proc") else { return BTreeSet::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let line = |pid: u32| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let names = |line: &[u8]| !wanted.is_empty() && line.windows(wanted.len()).any(|part| part == wanted);
    pids.filter(|&pid| pid != std::process::id() && names(&line(pid)) && !is_gone(pid)).collect()
}

/// Waits until the process has gone; false when it has not within the limit.
pub async fn wait_until_gone(pid: u32, limit: Duration) -> bool {
    let end = tokio::time::Instant::now() + limit;
    while !is_gone(pid) {
        if tokio::time::Instant::now() >= end {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    true
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::Stdio;

    use super::*;

    #[test]
    fn this_process_exists_and_an_ended_child_does_not() -> std::io::Result<()> {
        assert!(!is_gone(std::process::id()));
        let mut child = std::process::Command::new("true").spawn()?;
        let pid = child.id();
        child.wait()?;
        assert!(is_gone(pid));
        Ok(())
    }

    #[test]
    fn processes_are_found_by_a_path_that_they_were_started_with() -> std::io::Result<()> {
        let directory = tempfile::tempdir()?;
        assert_eq!(started_with(directory.path()), BTreeSet::new());
        let mut waiting = std::process::Command::new("sh");
        waiting
            .args(["-c", "echo; read line", "sh"])
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = waiting.spawn()?;
        // `spawn` comes back in the middle of exec: the kernel shows no command line yet.
        child.stdout.take().expect("piped").read_exact(&mut [0])?;
        assert_eq!(started_with(directory.path()), BTreeSet::from([child.id()]));
        child.kill()?;
        child.wait()?;
        assert_eq!(started_with(directory.path()), BTreeSet::new());
        assert_eq!(started_with(Path::new("")), BTreeSet::new(), "no path is that of every process");
        Ok(())
    }
}
