//! The demo's own home directory and everything that lives in it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use dspex_api::{Client, TimeLimits};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::embedded::{self, Home};
use crate::error::CommandError;
use crate::exit;
use crate::process;

const END_LIMIT: Duration = Duration::from_secs(20);

/// A home directory, the interpreter for its programs, and the processes seen in it.
#[derive(Debug)]
pub struct Household {
    directory: TempDir,
    /// The Python interpreter.
    pub interpreter: PathBuf,
    seen: BTreeSet<u32>,
}

impl Household {
    /// Makes an empty home.
    pub fn new(interpreter: PathBuf) -> Result<Self, CommandError> {
        let directory = tempfile::Builder::new()
            .prefix("dspex-demo-")
            .tempdir()
            .map_err(|error| CommandError::new(exit::FAILED, format!("no temporary directory: {error}")))?;
        Ok(Self { directory, interpreter, seen: BTreeSet::new() })
    }

    /// The home directory.
    pub fn home(&self) -> Home {
        Home::at(self.directory.path())
    }

    /// A connection to the home's node, if one runs.
    pub async fn node(&self) -> Result<Option<Client>, CommandError> {
        Ok(embedded::running(&self.home(), TimeLimits::default()).await?)
    }

    /// Remembers the processes of the node, so that the end can be checked.
    pub async fn census(&mut self, client: &Client) -> Result<(), CommandError> {
        let status = client.status().await?;
        self.seen.insert(status.pid);
        self.seen.extend(status.zygotes.iter().map(|zygote| zygote.pid));
        self.seen.extend(client.workers().await?.iter().map(|worker| worker.pid));
        Ok(())
    }

    /// kill -9.
    pub fn kill(&self, pid: u32) -> Result<(), CommandError> {
        let known = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let known = known.ok_or_else(|| CommandError::new(exit::FAILED, format!("{pid} is no process id")))?;
        kill_process(known, Signal::KILL)
            .map_err(|error| CommandError::new(exit::FAILED, format!("kill -9 {pid}: {error}")))
    }

    /// Ends the node, waits for all processes that were seen, removes the directory.
    /// A node that does not answer yet is given `patience`.
    pub async fn leave_nothing_behind(mut self, patience: Duration) -> Result<(), CommandError> {
        let end = Instant::now() + patience;
        let mut client = self.node().await?;
        while client.is_none() && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(50)).await;
            client = self.node().await?;
        }
        if let Some(client) = client {
            self.census(&client).await?;
            client.stop(true).await?;
        }
        for &pid in &self.seen {
            if !process::wait_until_gone(pid, END_LIMIT).await {
                return Err(CommandError::new(exit::FAILED, format!("process {pid} of the demo is still there")));
            }
        }
        let path = self.directory.path().to_owned();
        self.directory
            .close()
            .map_err(|error| CommandError::new(exit::FAILED, format!("{} cannot be removed: {error}", path.display())))
    }
}
