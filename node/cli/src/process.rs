//! Whether a process still exists.

use std::time::Duration;

use rustix::process::{Pid, test_kill_process};

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
