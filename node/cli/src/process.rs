//! Whether a process still exists, and ending with one.

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
}
