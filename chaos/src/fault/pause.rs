//! A process stands still for a while (SIGSTOP): its connections stay open, and nothing answers on them.

use std::time::Duration;

use rustix::process::Signal;

use super::FaultError;
use super::process::Process;

const LIMIT: Duration = Duration::from_secs(10);

/// A process that stands still. It goes on when this is dropped.
#[derive(Debug)]
pub struct Pause {
    process: Process,
}

/// Why processes cannot be paused here.
pub fn probe() -> Result<(), String> {
    Process::of(std::process::id()).map(|_| ()).map_err(|error| error.to_string())
}

impl Pause {
    /// Stops a process, all its threads; not its children.
    pub fn begin(pid: u32) -> Result<Self, FaultError> {
        // Made before the signal, so that an error after it lets the process go on.
        let pause = Self { process: Process::of(pid)? };
        pause.process.signal(Signal::STOP)?;
        pause.process.wait_for(&['T', 't', 'Z', 'X'], LIMIT)?;
        if pause.process.is_gone() {
            return Err(FaultError::Impossible(format!("process {pid} ended before it could be paused")));
        }
        Ok(pause)
    }

    /// Lets it go on.
    pub fn end(self) {}
}

impl Drop for Pause {
    fn drop(&mut self) {
        // It may have been killed meanwhile.
        let _ = self.process.signal(Signal::CONT);
    }
}
