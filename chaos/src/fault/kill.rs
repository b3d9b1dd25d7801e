//! A process is gone at once, without a chance to write anything (SIGKILL). What it wrote before stays in the page cache: for
//! what was not synced see `power_cut`.

use std::time::Duration;

use rustix::process::Signal;

use super::FaultError;
use super::process::Process;

/// A process that waits for a slow disk ends when the disk has answered.
const LIMIT: Duration = Duration::from_secs(60);

/// Why processes cannot be killed here.
pub fn probe() -> Result<(), String> {
    Process::of(std::process::id()).map(|_| ()).map_err(|error| error.to_string())
}

/// Kills a process and waits until its files and sockets are closed. A process that is gone already is an error: the fault did not
/// land.
pub fn kill(pid: u32) -> Result<(), FaultError> {
    let process = Process::of(pid)?;
    process.signal(Signal::KILL)?;
    process.wait_for(&['Z', 'X'], LIMIT)
}
