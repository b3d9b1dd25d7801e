//! Faults by an operator's own commands, at a cluster that this program did not start.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::Stage;
use crate::cluster::{Cluster, ClusterError};
use crate::fault::wait_for_child;
use crate::schedule::Fault;
use crate::target::Target;

/// Such as `ssh` to a machine and a command there.
const LIMIT: Duration = Duration::from_secs(120);

/// Commands of a shell. `{node}` is the host of a node, `{address}` its whole address, `{fault}` the kind of the fault.
#[derive(Clone, Debug, Default)]
pub struct Hooks {
    /// Makes a fault at a node.
    pub begin: Option<String>,
    /// Ends it, and brings the node back.
    pub end: Option<String>,
    /// What can be called in sessions: it puts its argument `value` into the session's data.
    pub call: Option<String>,
}

/// A cluster of an operator's.
#[derive(Debug)]
pub struct OperatorsCluster {
    target: Target,
    hooks: Hooks,
}

impl OperatorsCluster {
    /// With these doors and commands.
    pub fn new(target: Target, hooks: Hooks) -> Self {
        Self { target, hooks }
    }

    fn run(&self, command: Option<&String>, fault: &Fault) -> Result<(), ClusterError> {
        let Some(command) = command else {
            return Err(ClusterError::Impossible("no command is given for it".to_owned()));
        };
        let nodes = fault.nodes().ok_or_else(|| {
            ClusterError::Impossible("a command breaks single nodes; this fault is between nodes".to_owned())
        })?;
        nodes.iter().try_for_each(|&node| {
            let line = filled(command, &self.target.doors()[node].name, fault.kind());
            let failed = |said: String| ClusterError::Command { command: line.clone(), said };
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(&line).stdin(Stdio::null());
            let mut child = shell.spawn().map_err(|error| failed(error.to_string()))?;
            match wait_for_child(&mut child, LIMIT).map_err(|error| failed(error.to_string()))? {
                Some(status) if status.success() => Ok(()),
                Some(status) => Err(failed(status.to_string())),
                None => Err(failed(format!("not done within {} s", LIMIT.as_secs()))),
            }
        })
    }
}

impl Stage for OperatorsCluster {
    fn target(&self) -> &Target {
        &self.target
    }

    fn begin(&mut self, fault: &Fault) -> Result<(), ClusterError> {
        self.run(self.hooks.begin.as_ref(), fault)
    }

    fn end(&mut self, fault: &Fault) -> Result<Vec<String>, ClusterError> {
        if self.hooks.end.is_some() {
            self.run(self.hooks.end.as_ref(), fault)?;
        }
        Ok(Vec::new())
    }

    fn command(&self) -> Option<String> {
        self.hooks.call.clone()
    }

    fn own(&mut self) -> Option<&mut Cluster> {
        None
    }
}

fn filled(command: &str, address: &str, fault: &str) -> String {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    command.replace("{node}", host).replace("{address}", address).replace("{fault}", fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_filled_in() {
        let line = filled("ssh {node} chaos {fault} # {address}", "n1.example:7400", "kill");
        assert_eq!(line, "ssh n1.example chaos kill # n1.example:7400");
    }
}
