//! One invocation of the program: its global options, and the node it talks to.

use std::time::Duration;

use dspex_api::{Address, Client, Credentials, TimeLimits};
use tokio::time::Instant;

use crate::arguments::Global;
use crate::ca;
use crate::console::Console;
use crate::embedded::{self, Home};
use crate::error::CommandError;
use crate::output::Format;
use crate::run_commands::RunCommands;
use crate::token;

/// What every command is given.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// stderr.
    pub console: Console,
    /// `-o`.
    pub format: Format,
    /// `--command-timeout` as a moment.
    pub deadline: Option<Instant>,
    /// How commands for its runs are printed.
    pub run_commands: RunCommands,
    address: Option<(Address, Credentials)>,
}

impl Invocation {
    /// Checks the global options.
    pub fn new(global: &Global) -> Result<Self, CommandError> {
        Ok(Self { address: named(global)?, ..Self::without_node(global) })
    }

    /// Leaves aside which node is named.
    pub(crate) fn without_node(global: &Global) -> Self {
        Self {
            console: Console::new(global.quiet, global.verbose),
            format: global.format(),
            deadline: global.command_timeout.map(|limit| Instant::now() + limit),
            run_commands: if global.is_address_set_aside { RunCommands::Here } else { RunCommands::AsEver },
            address: None,
        }
    }

    /// The node of `--address`.
    pub fn address(&self) -> Option<&Address> {
        self.address.as_ref().map(|(address, _)| address)
    }

    /// The same at the embedded node.
    #[must_use]
    pub fn without_address(&self) -> Self {
        let run_commands = if self.address.is_some() { RunCommands::Here } else { self.run_commands };
        Self { address: None, run_commands, ..self.clone() }
    }

    /// A connection to the node of `--address`, else to the embedded one, which is started if need be.
    pub async fn node(&self) -> Result<Client, CommandError> {
        self.node_with(self.limits()).await
    }

    /// The same for calls that are answered soon or never.
    pub async fn node_within(&self, call: Duration) -> Result<Client, CommandError> {
        let limits = self.limits();
        self.node_with(TimeLimits { call: limits.call.min(call), ..limits }).await
    }

    async fn node_with(&self, limits: TimeLimits) -> Result<Client, CommandError> {
        match &self.address {
            Some((address, credentials)) => Ok(Client::connect(address.clone(), credentials.clone(), limits).await?),
            None => embedded::connect(&Home::of_this_process()?, limits, &self.console).await,
        }
    }

    /// A connection to a node that runs already, whatever its version; nothing is started.
    pub async fn running_node(&self) -> Result<Option<Client>, CommandError> {
        match &self.address {
            Some((address, credentials)) => {
                Ok(Some(Client::connect(address.clone(), credentials.clone(), self.limits()).await?))
            }
            None => Ok(embedded::running(&Home::of_this_process()?, self.limits()).await?),
        }
    }

    /// Whether the node has an environment of its own, so that this process's plays no part: one on TCP has, by TLS or without.
    pub fn node_has_environment(&self) -> bool {
        self.address().is_some_and(|address| address.authority().is_some())
    }

    /// Completes when `--command-timeout` is over.
    pub async fn out_of_time(&self) {
        match self.deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    }

    fn limits(&self) -> TimeLimits {
        let limits = TimeLimits::default();
        let left = self.deadline.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
        TimeLimits { connect: limits.connect.min(left), call: limits.call.min(left), load: limits.load.min(left) }
    }
}

/// The node that the options name, what it is shown, and by what it is known.
fn named(global: &Global) -> Result<Option<(Address, Credentials)>, CommandError> {
    let Some(written) = &global.address else { return Ok(None) };
    let address = match written.parse().map_err(CommandError::usage)? {
        Address::Unix(path) => Address::Unix(std::path::absolute(path)?),
        tcp => tcp,
    };
    let token = token::find(global.token_file.as_deref(), &address)?;
    let ca = ca::find(global.ca.as_deref(), &address)?;
    Ok(Some((address, Credentials { token, ca })))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::Arguments;

    fn at(address: &str) -> Invocation {
        let arguments = Arguments::try_parse_from(["dspex", "run", "--address", address]).expect("valid");
        Invocation::new(&arguments.global).expect("an address")
    }

    #[test]
    fn a_node_on_tcp_has_an_environment_of_its_own_however_its_address_is_written() {
        for address in ["127.0.0.1:7400", "https://n.example:7400", "http://127.0.0.1:7400"] {
            assert!(at(address).node_has_environment(), "{address}");
            assert!(!at(address).without_address().node_has_environment(), "{address}");
        }
        assert!(!at("unix:/run/node.sock").node_has_environment());
    }

    #[test]
    fn what_is_printed_for_a_run_leads_to_where_it_is() {
        let cluster = at("127.0.0.1:7400");
        assert_eq!(cluster.run_commands, RunCommands::AsEver);
        assert_eq!(cluster.without_address().run_commands, RunCommands::Here, "the address would lead away from it");
        let arguments = Arguments::try_parse_from(["dspex", "run", "--address", "127.0.0.1:7400"]).expect("valid");
        let local = Invocation::new(&arguments.global.without_address()).expect("no address");
        assert_eq!((local.address(), local.run_commands), (None, RunCommands::Here), "--local");
    }
}
