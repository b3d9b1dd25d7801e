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

/// A node: its name and its ports on loopback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// `node-1`.
    pub name: String,
    /// gRPC.
    pub api: u16,
    /// Probes and metrics.
    pub http: u16,
    /// For the others.
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

/// Nodes for these ports, three for each.
pub fn plan(ports: &[u16]) -> Vec<Planned> {
    let nodes = ports.chunks_exact(3).enumerate();
    nodes
        .map(|(position, ports)| Planned {
            name: format!("node-{}", position + 1),
            api: ports[0],
            http: ports[1],
            peers: ports[2],
        })
        .collect()
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
    let join: Vec<String> = shared.nodes.iter().map(|node| format!("127.0.0.1:{}", node.peers)).collect();
    Ok(format!(
        "# Written by `dspex dev`, anew at every start.\ndata_dir = \"data\"\n\n[node]\nname = {}\n\n[cluster]\njoin = {}\n\
         bootstrap_expect = {}\n\n[peers]\nlisten = \"127.0.0.1:{}\"\nplaintext = true\n\n[api]\nlisten = \"127.0.0.1:{}\"\n\n[http]\n\
         listen = \"127.0.0.1:{}\"\n\n[python]\ninterpreter = {}\ndirectory = {}\nenvironment = {}\n",
        Value::from(node.name.as_str()),
        Value::from(join),
        shared.nodes.len(),
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

    #[test]
    fn every_node_has_three_ports_of_its_own_and_knows_all_peers() {
        let nodes = plan(&[1, 2, 3, 4, 5, 6]);
        assert_eq!(nodes[1], Planned { name: "node-2".to_owned(), api: 4, http: 5, peers: 6 });
        let shared = Shared {
            nodes: &nodes,
            interpreter: Path::new("/venv/bin/python"),
            directory: Path::new("/home/me/a \"b\""),
            variables: &["OPENAI_API_KEY".to_owned()],
        };
        let written = file(&nodes[0], shared).expect("UTF-8");
        for line in [
            "name = \"node-1\"",
            "join = [\"127.0.0.1:3\",\"127.0.0.1:6\"]",
            "bootstrap_expect = 2",
            "directory = \"/home/me/a \\\"b\\\"\"",
            "environment = [\"OPENAI_API_KEY\"]",
        ] {
            assert!(written.lines().any(|written| written == line), "{line} is not in\n{written}");
        }
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
