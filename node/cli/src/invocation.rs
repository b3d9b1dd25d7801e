//! One invocation of the program: its global options, and the node it talks to.

use std::time::Duration;

use dspex_api::{Address, ApiError, Client, Credentials, TimeLimits, key, reason};
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
    /// What `--local` does, where the command has it.
    local: Option<&'static str>,
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
            local: None,
        }
    }

    /// The same for a command that has `--local`, which does this: a way out when nobody answers at the address.
    #[must_use]
    pub fn with_local(&self, what: &'static str) -> Self {
        Self { local: Some(what), ..self.clone() }
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
            Some((address, credentials)) => self.connected(address, credentials, limits).await,
            None => embedded::connect(&Home::of_this_process()?, limits, &self.console).await,
        }
    }

    /// A connection to a node that runs already, whatever its version; nothing is started.
    pub async fn running_node(&self) -> Result<Option<Client>, CommandError> {
        match &self.address {
            Some((address, credentials)) => Ok(Some(self.connected(address, credentials, self.limits()).await?)),
            None => Ok(embedded::running(&Home::of_this_process()?, self.limits()).await?),
        }
    }

    async fn connected(
        &self,
        address: &Address,
        credentials: &Credentials,
        limits: TimeLimits,
    ) -> Result<Client, CommandError> {
        let connecting = Client::connect(address.clone(), credentials.clone(), limits);
        connecting.await.map_err(|error| with_ways_out(error, address, self.local))
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

/// Nobody answers: says where else one may ask. What answers and is no node says itself what is wrong.
fn with_ways_out(error: ApiError, address: &Address, local: Option<&str>) -> CommandError {
    let is_away = matches!(error.reason.as_ref(), reason::NODE_UNREACHABLE | reason::NODE_TIMED_OUT)
        && error.get(key::FOREIGN).is_none();
    let error = CommandError::from(error);
    if !is_away || error.hint.is_some() {
        return error;
    }
    let local = local.map(|what| format!("; --local {what}")).unwrap_or_default();
    error.hint(match address {
        Address::Unix(_) => "without an address (--address, DSPEX_ADDRESS) the embedded node is started on demand".to_owned(),
        _ => format!(
            "check the address (--address, DSPEX_ADDRESS: api.listen of a node, port 7400) and that its node runs; any other node \
             of its cluster does as well, by a token of the cluster (dspex token create){local}"
        ),
    })
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

    #[tokio::test]
    async fn who_meets_nobody_at_an_address_hears_where_else_to_ask() {
        // A port that was free a moment ago.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        drop(listener);
        let plain = at(&address);
        let with_local = plain.with_local("executes it on this machine instead");
        for (invocation, has_local) in [(plain, false), (with_local, true)] {
            let error = invocation.node().await.expect_err("nobody is there");
            assert_eq!(error.reason, reason::NODE_UNREACHABLE);
            let hint = error.hint.expect("what to do");
            assert!(hint.contains("any other node"), "{hint}");
            assert_eq!(hint.ends_with("; --local executes it on this machine instead"), has_local, "{hint}");
        }
    }

    #[test]
    fn what_answers_and_is_no_node_says_itself_what_is_wrong() {
        let address: Address = "127.0.0.1:7400".parse().expect("an address");
        let silent = ApiError::unavailable(reason::NODE_TIMED_OUT, "no answer");
        assert!(with_ways_out(silent.clone(), &address, None).hint.is_some());
        assert_eq!(with_ways_out(silent.with(key::FOREIGN, "it speaks HTTP/1"), &address, None).hint, None);
        let refused = ApiError::unavailable(reason::TLS_REFUSED, "another authority");
        assert_eq!(with_ways_out(refused, &address, None).hint, None);
        let socket = Address::Unix("/run/node.sock".into());
        let gone = ApiError::unavailable(reason::NODE_UNREACHABLE, "no node answers");
        let hint = with_ways_out(gone, &socket, Some("does not help")).hint.unwrap_or_default();
        assert!(hint.contains("embedded node") && !hint.contains("--local"), "{hint}");
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
