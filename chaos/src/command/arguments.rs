//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use dspex_chaos::scenario;

/// Break a cluster and check what clients were promised
#[derive(Debug, Parser)]
#[command(name = "dspex-chaos", version, after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    pub verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  dspex-chaos list
  dspex-chaos run kill-nine --program .venv/bin/dspex --seconds 60
  dspex-chaos run mixed --nodes 5 --seed 7 --history mixed.jsonl
  dspex-chaos run runs --program .venv/bin/dspex --rounds 50 --seconds 10
  dspex-chaos check mixed.jsonl
  dspex-chaos run kill-nine --against n1:7400,n2:7400,n3:7400 --token-file token --ca ca.pem \\
    --begin 'ssh {node} systemctl kill -s KILL dspex' --end 'ssh {node} systemctl start dspex'

Exit codes: 0 all is as promised, 1 it is not, 2 it could not be found out";

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// The scenarios, and which of them this machine cannot play
    List,
    /// Play a scenario, at a cluster that is made for it or at one of yours
    Run(Box<Run>),
    /// Play all scenarios in rounds, until 200 kills, 100 power cuts and 200,000 operations are done or the time is over
    Soak(Soak),
    /// Check a history that was kept, with the promises that a history alone shows
    Check {
        /// JSON lines, as `run --history` keeps them
        history: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct Run {
    /// One of `dspex-chaos list`
    #[arg(value_parser = name)]
    pub scenario: String,
    /// All chance comes from it: the same seed draws the same faults [default: another one each time]
    #[arg(long)]
    pub seed: Option<u64>,
    /// How long faults are made, about
    #[arg(long, default_value_t = 30)]
    pub seconds: u64,
    /// Play it so often, each time with the next seed, at the same cluster; of `runs` at another one each time
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub rounds: u64,
    /// Keep the history here, as JSON lines; of `runs` the account of each round, a line for each, which `check` does not read
    #[arg(long, value_name = "FILE")]
    pub history: Option<PathBuf>,
    /// Clients, each with one operation at a time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=256))]
    pub clients: u64,
    /// Operations a second of all clients, at most
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub rate: u64,
    /// The program whose nodes are broken
    #[arg(long, value_name = "PATH", default_value = "dspex", conflicts_with = "against")]
    pub program: PathBuf,
    /// The interpreter of the nodes, for scenarios that call code in sessions [default: the one beside the program]
    #[arg(long, value_name = "PATH", conflicts_with = "against")]
    pub python: Option<PathBuf>,
    /// How many nodes are started, 3 to 7; of `runs` 1 to 16, some without a vote [default: 3; of `runs` 1, 2, 3 or 8 by chance]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=16), conflicts_with = "against")]
    pub nodes: Option<u64>,
    /// Your own cluster: the API addresses of its nodes
    #[arg(long, value_name = "ADDRESS,...", value_delimiter = ',', requires = "token_file")]
    pub against: Vec<String>,
    /// The file with a token that every node takes, of the role admin
    #[arg(long, value_name = "FILE", requires = "against")]
    pub token_file: Option<PathBuf>,
    /// The authority of your nodes' certificates, PEM
    #[arg(long, value_name = "FILE", requires = "against")]
    pub ca: Option<PathBuf>,
    /// What makes the fault at one of your nodes; {node} is its host, {address} HOST:PORT, {fault} the fault
    #[arg(long, value_name = "COMMAND", requires = "against")]
    pub begin: Option<String>,
    /// What ends it and brings the node back
    #[arg(long, value_name = "COMMAND", requires = "against")]
    pub end: Option<String>,
    /// What your nodes can be called for in sessions: it puts its argument `value` into the session's data as `value`
    #[arg(long, value_name = "MODULE:NAME", requires = "against")]
    pub call: Option<String>,
}

#[derive(Debug, Args)]
pub struct Soak {
    /// The program whose nodes are broken
    #[arg(long, value_name = "PATH", default_value = "dspex")]
    pub program: PathBuf,
    /// The interpreter of the nodes, for scenarios that call code in sessions [default: the one beside the program]
    #[arg(long, value_name = "PATH")]
    pub python: Option<PathBuf>,
    /// No round begins after so many minutes; the same command goes on later
    #[arg(long, default_value_t = 120)]
    pub minutes: u64,
    /// Where rounds, and the histories of red ones, are kept
    #[arg(long, value_name = "DIRECTORY", default_value = "soak")]
    pub into: PathBuf,
    /// The seed of the first round
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

fn name(text: &str) -> Result<String, String> {
    match scenario::find(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("there is no such scenario; `dspex-chaos list` names them".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
        let parse = |line: &str| Arguments::try_parse_from(line.split_whitespace());
        assert!(parse("dspex-chaos run kill-nine --seed 3 --nodes 5").is_ok());
        assert!(parse("dspex-chaos run kill-nine --against a:1,b:2 --token-file t").is_ok());
        assert!(parse("dspex-chaos soak --minutes 5 --into there").is_ok());
        assert!(parse("dspex-chaos run no-such").is_err());
        assert!(parse("dspex-chaos run kill-nine --against a:1").is_err(), "without a token");
        assert!(parse("dspex-chaos run kill-nine --against a:1 --token-file t --nodes 5").is_err());
        assert!(parse("dspex-chaos run kill-nine --begin x").is_err());
        assert!(parse("dspex-chaos run runs --nodes 1").is_ok());
        assert!(parse("dspex-chaos run runs --nodes 17").is_err());
    }
}
