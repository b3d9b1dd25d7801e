//! One invocation of the program: its global options, and the node it talks to.

use std::path::PathBuf;
use std::time::Duration;

use dspex_api::{Client, TimeLimits};
use tokio::time::Instant;

use crate::arguments::Global;
use crate::console::Console;
use crate::embedded::{self, Home};
use crate::error::CommandError;
use crate::output::Format;

/// What every command is given.
#[derive(Debug)]
pub struct Invocation {
    /// stderr.
    pub console: Console,
    /// `-o`.
    pub format: Format,
    /// `--command-timeout` as a moment.
    pub deadline: Option<Instant>,
    address: Option<PathBuf>,
}

impl Invocation {
    /// Checks the global options.
    pub fn new(global: &Global) -> Result<Self, CommandError> {
        Ok(Self {
            console: Console::new(global.quiet, global.verbose),
            format: global.format(),
            deadline: global.command_timeout.map(|limit| Instant::now() + limit),
            address: global.address.as_deref().map(socket_of).transpose()?,
        })
    }

    /// A connection to the node of `--address`, else to the embedded one, which is started if need be.
    pub async fn node(&self) -> Result<Client, CommandError> {
        let limits = self.limits();
        match &self.address {
            Some(socket) => Ok(Client::connect(socket, limits).await?),
            None => embedded::connect(&Home::of_this_process()?, limits, &self.console).await,
        }
    }

    /// A connection to a node that runs already, whatever its version; nothing is started.
    pub async fn running_node(&self) -> Result<Option<Client>, CommandError> {
        match &self.address {
            Some(socket) => Ok(Some(Client::connect(socket, self.limits()).await?)),
            None => Ok(embedded::running(&Home::of_this_process()?, self.limits()).await?),
        }
    }

    fn limits(&self) -> TimeLimits {
        let limits = TimeLimits::default();
        let left = self.deadline.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
        TimeLimits { connect: limits.connect.min(left), call: limits.call.min(left), load: limits.load.min(left) }
    }
}

fn socket_of(address: &str) -> Result<PathBuf, CommandError> {
    match address.strip_prefix("unix:") {
        Some(path) if !path.is_empty() => {
            // unix:///path is what gRPC writes for an absolute path.
            let path = path.strip_prefix("//").unwrap_or(path);
            Ok(std::path::absolute(path)?)
        }
        _ => Err(CommandError::usage(format!("the address {address:?} is not unix:PATH"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_a_socket() {
        assert_eq!(socket_of("unix:/a/b"), Ok("/a/b".into()));
        assert_eq!(socket_of("unix:///a/b"), Ok("/a/b".into()));
        for address in ["localhost:7400", "unix:", ""] {
            assert_eq!(socket_of(address).expect_err(address).exit, 2);
        }
    }
}
