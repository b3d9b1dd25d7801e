//! What each node of the cluster is told: names, ports and files. Nothing here touches the machine.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::CommandError;
use crate::setting::is_secret;

/// More voters make every write slower, and none safer.
pub const NODES_MAX: u32 = 7;
/// Where nobody says how many.
pub const NODES_DEFAULT: u32 = 3;
/// Each has Python processes of its own, and all of them share this machine.
pub const WORKER_NODES_MAX: u32 = 16;

/// What a node is in its cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It keeps the log with the others.
    #[default]
    Voter,
    /// It executes, and has no vote.
    Worker,
}

impl Role {
    /// As nodes call it: `node.role`, and the role of a member.
    pub fn name(self) -> &'static str {
        match self {
            Self::Voter => "voter",
            Self::Worker => "worker",
        }
    }
}

/// A node: its name and its ports on loopback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// `node-1`, or `worker-node-1`.
    pub name: String,
    /// Clusters that were kept before there were nodes without a vote do not say it.
    #[serde(default)]
    pub role: Role,
    /// gRPC.
    pub api: u16,
    /// Probes and metrics.
    pub http: u16,
    /// For the others. Nobody dials a node without a vote.
    pub peers: u16,
}

impl Planned {
    /// Its API as commands name it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.api)
    }

    /// All of its ports.
    pub fn ports(&self) -> [u16; 3] {
        [self.api, self.http, self.peers]
    }

    /// Its own directory in that of the cluster.
    pub fn directory(&self, cluster: &Path) -> PathBuf {
        cluster.join(&self.name)
    }

    /// Its file.
    pub fn config(&self, cluster: &Path) -> PathBuf {
        self.directory(cluster).join("dspex.toml")
    }

    /// Its token, which it makes at its first start.
    pub fn token(&self, cluster: &Path) -> PathBuf {
        self.directory(cluster).join("data/token")
    }
}

/// Voters for these ports, three for each.
pub fn plan(ports: &[u16]) -> Vec<Planned> {
    let nodes = ports.chunks_exact(3).enumerate();
    nodes.map(|(position, ports)| planned(format!("node-{}", position + 1), Role::Voter, ports)).collect()
}

/// Nodes without a vote for these ports, three for each, when there are so many already.
pub fn workers(there: usize, ports: &[u16]) -> Vec<Planned> {
    let nodes = ports.chunks_exact(3).enumerate();
    nodes
        .map(|(position, ports)| planned(format!("worker-node-{}", there + position + 1), Role::Worker, ports))
        .collect()
}

fn planned(name: String, role: Role, ports: &[u16]) -> Planned {
    Planned { name, role, api: ports[0], http: ports[1], peers: ports[2] }
}

/// What all nodes have in common.
#[derive(Debug, Clone, Copy)]
pub struct Shared<'a> {
    /// All of them.
    pub nodes: &'a [Planned],
    /// With dspy.
    pub interpreter: &'a Path,
    /// Where workers start.
    pub directory: &'a Path,
    /// Names of variables that workers get.
    pub variables: &'a [String],
}

/// The file of a node.
pub fn file(node: &Planned, shared: Shared<'_>) -> Result<String, CommandError> {
    let voters = shared.nodes.iter().filter(|node| node.role == Role::Voter);
    let join: Vec<String> = voters.map(|node| format!("127.0.0.1:{}", node.peers)).collect();
    // One without a vote forms no cluster.
    let expect = match node.role {
        Role::Voter => format!("bootstrap_expect = {}\n", join.len()),
        Role::Worker => String::new(),
    };
    Ok(format!(
        "# Written by `dspex dev`, anew at every start.\ndata_dir = \"data\"\n\n[node]\nname = {}\nrole = \"{}\"\n\n[cluster]\n\
         join = {}\n{expect}\n[peers]\nlisten = \"127.0.0.1:{}\"\nplaintext = true\n\n[api]\nlisten = \"127.0.0.1:{}\"\n\n[http]\n\
         listen = \"127.0.0.1:{}\"\n\n[python]\ninterpreter = {}\ndirectory = {}\nenvironment = {}\n",
        Value::from(node.name.as_str()),
        node.role.name(),
        Value::from(join),
        node.peers,
        node.api,
        node.http,
        text(shared.interpreter)?,
        text(shared.directory)?,
        Value::from(shared.variables),
    ))
}

/// A path as TOML writes text, which is as JSON does.
pub fn text(path: &Path) -> Result<Value, CommandError> {
    let refused = || CommandError::usage(format!("{} has a name that is not UTF-8", path.display()));
    path.to_str().map(Value::from).ok_or_else(refused)
}

/// The name in `--env NAME`.
pub fn variable(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if is_secret(name) => {
            Err(format!("name the variable only: set {name} in your environment, and write --env {name}"))
        }
        Some((name, _)) => Err(format!("name the variable only: export {name}=..., and write --env {name}")),
        None if text.is_empty() || text.contains('\0') => Err("it names no variable".to_owned()),
        None => Ok(text.to_owned()),
    }
}

/// A word as a shell reads it.
pub fn quoted(word: &str) -> String {
    let is_plain = |one: char| one.is_ascii_alphanumeric() || "_-./:@%+,".contains(one);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared<'a>(nodes: &'a [Planned], variables: &'a [String]) -> Shared<'a> {
        let (interpreter, directory) = (Path::new("/venv/bin/python"), Path::new("/home/me/a \"b\""));
        Shared { nodes, interpreter, directory, variables }
    }

    #[test]
    fn every_node_has_three_ports_of_its_own_and_knows_all_peers() {
        let nodes = plan(&[1, 2, 3, 4, 5, 6]);
        assert_eq!(nodes[1], Planned { name: "node-2".to_owned(), role: Role::Voter, api: 4, http: 5, peers: 6 });
        let variables = ["OPENAI_API_KEY".to_owned()];
        let shared = shared(&nodes, &variables);
        let written = file(&nodes[0], shared).expect("UTF-8");
        for line in [
            "name = \"node-1\"",
            "role = \"voter\"",
            "join = [\"127.0.0.1:3\",\"127.0.0.1:6\"]",
            "bootstrap_expect = 2",
            "directory = \"/home/me/a \\\"b\\\"\"",
            "environment = [\"OPENAI_API_KEY\"]",
        ] {
            assert!(written.lines().any(|written| written == line), "{line} is not in\n{written}");
        }
    }

    #[test]
    fn a_node_without_a_vote_joins_the_voters_and_forms_nothing() {
        let nodes = [plan(&[1, 2, 3]), workers(0, &[4, 5, 6, 7, 8, 9])].concat();
        let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["node-1", "worker-node-1", "worker-node-2"]);
        assert_eq!(workers(2, &[1, 2, 3])[0].name, "worker-node-3");
        let written = file(&nodes[2], shared(&nodes, &[])).expect("UTF-8");
        for line in ["name = \"worker-node-2\"", "role = \"worker\"", "join = [\"127.0.0.1:3\"]"] {
            assert!(written.lines().any(|written| written == line), "{line} is not in\n{written}");
        }
        assert!(!written.contains("bootstrap_expect"), "{written}");
        let of_voter = file(&nodes[0], shared(&nodes, &[])).expect("UTF-8");
        assert!(of_voter.contains("\nbootstrap_expect = 1\n"), "{of_voter}");
    }

    #[test]
    fn a_node_of_a_cluster_that_was_kept_before_is_a_voter() {
        let kept = r#"{"name":"node-1","api":1,"http":2,"peers":3}"#;
        let read: Planned = serde_json::from_str(kept).expect("a node");
        assert_eq!(read, plan(&[1, 2, 3])[0]);
    }

    #[test]
    fn a_variable_is_named_and_its_value_stays_where_it_is() {
        assert_eq!(variable("OPENAI_API_KEY"), Ok("OPENAI_API_KEY".to_owned()));
        let refused = variable("OPENAI_API_KEY=hunter2").expect_err("refused");
        assert!(refused.contains("--env OPENAI_API_KEY") && !refused.contains("hunter2"), "{refused}");
        assert!(variable("").is_err() && variable("A=1").is_err());
    }

    #[test]
    fn words_are_quoted_where_a_shell_would_split_them() {
        assert_eq!(quoted("/tmp/dspex-dev-a1/node-1"), "/tmp/dspex-dev-a1/node-1");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }
}
