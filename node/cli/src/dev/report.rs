//! What goes to stdout when the cluster is ready: where it is, and how commands reach it.

use std::path::Path;

use serde_json::{Value, json};

use super::place;
use super::plan::{Planned, Role, quoted};
use crate::console::Console;
use crate::error::CommandError;
use crate::listing::Listing;
use crate::output::{self, Format};

/// A cluster that has a leader.
#[derive(Debug)]
pub struct Report<'a> {
    /// Of the whole cluster.
    pub directory: &'a Path,
    /// The directory stays.
    pub is_kept: bool,
    /// Its nodes, voters first.
    pub nodes: &'a [Planned],
    /// Their processes.
    pub pids: Vec<u32>,
    /// The name of the node that leads.
    pub leader: String,
}

/// Prints it in the format asked for.
pub fn print(format: Format, report: &Report<'_>, console: &Console) -> Result<(), CommandError> {
    match format {
        Format::Table => {
            let lines: String =
                report.environment().iter().map(|(name, value)| format!("export {name}={}\n", quoted(value))).collect();
            report.listing().print(Format::Table, console)?;
            output::people(&format!("\n{lines}"))
        }
        Format::Json | Format::Jsonl => output::json(&report.object()),
        Format::Csv => report.listing().print(Format::Csv, console),
    }
}

impl Report<'_> {
    /// What commands need to know. Any voter will do: this is the first. The token is known to all of them, so that one goes on at
    /// another node when the first is lost.
    fn environment(&self) -> Vec<(&'static str, String)> {
        let first = self.nodes.iter().take(1);
        let pairs = first.flat_map(|node| {
            let token = place::token(self.directory).display().to_string();
            [("DSPEX_ADDRESS", node.address()), ("DSPEX_TOKEN_FILE", token)]
        });
        pairs.collect()
    }

    fn items(&self) -> Vec<Value> {
        let nodes = self.nodes.iter().zip(&self.pids);
        let items = nodes.map(|(node, pid)| {
            json!({
                "name": node.name,
                "role": node.role.name(),
                "leader": node.name == self.leader,
                "pid": pid,
                "api_address": node.address(),
                "http_address": format!("127.0.0.1:{}", node.http),
                // Nobody dials a node without a vote.
                "peer_address": (node.role == Role::Voter).then(|| format!("127.0.0.1:{}", node.peers)),
                "config": node.config(self.directory).display().to_string(),
                "token_file": node.token(self.directory).display().to_string(),
            })
        });
        items.collect()
    }

    fn object(&self) -> Value {
        let environment: serde_json::Map<String, Value> =
            self.environment().into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
        json!({
            "directory": self.directory.display().to_string(),
            "kept": self.is_kept,
            "leader": self.leader,
            "nodes": self.items(),
            "environment": environment,
        })
    }

    fn listing(&self) -> Listing {
        let row = |node: &Planned, pid: &u32| {
            vec![
                node.name.clone(),
                node.role.name().to_owned(),
                node.address(),
                format!("http://127.0.0.1:{}", node.http),
                pid.to_string(),
                node.token(self.directory).display().to_string(),
            ]
        };
        Listing {
            items: self.items().into_iter().collect(),
            header: vec!["NODE", "ROLE", "ADDRESS", "HTTP", "PID", "TOKEN FILE"],
            rows: self.nodes.iter().zip(&self.pids).map(|(node, pid)| row(node, pid)).collect(),
            ..Listing::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::plan;

    #[test]
    fn the_environment_names_the_first_node_and_the_token_of_all() {
        let nodes = [plan::plan(&[1, 2, 3, 4, 5, 6]), plan::workers(0, &[7, 8, 9])].concat();
        let report = Report {
            directory: Path::new("/tmp/a b"),
            is_kept: false,
            nodes: &nodes,
            pids: vec![7, 8, 9],
            leader: "node-2".to_owned(),
        };
        let object = report.object();
        assert_eq!(object["environment"]["DSPEX_ADDRESS"], "127.0.0.1:1");
        assert_eq!(object["environment"]["DSPEX_TOKEN_FILE"], "/tmp/a b/token");
        let leads: Vec<&Value> =
            object["nodes"].as_array().expect("nodes").iter().map(|node| &node["leader"]).collect();
        assert_eq!(leads, [false, true, false]);
        assert_eq!(object["nodes"][1]["pid"], 8);
        let (voter, worker) = (&object["nodes"][1], &object["nodes"][2]);
        assert_eq!((&voter["role"], &voter["peer_address"]), (&json!("voter"), &json!("127.0.0.1:6")));
        assert_eq!((&worker["role"], &worker["peer_address"]), (&json!("worker"), &Value::Null));
    }
}
