//! `dspex cert`: the arguments. Certificates are made where connections are: the program hands them there.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::arguments::identifier;
use crate::echo::quoted;
use crate::output::Format;

/// The arguments of `dspex cert`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  dspex cert init --node node-1=10.0.0.1,node-1.example --node node-2=10.0.0.2\n  dspex cert init --node node-4=10.0.0.4          a further node, under the same authority\n  dspex cert init --node node-1=10.0.0.1 --renew   before it ends; the running node reads it by itself\n  dspex cert show certs/node-1/node.pem\n\nIt makes DIR/ca.pem and DIR/ca.key, and DIR/NAME/node.pem, node.key and signing.key for each node. Copy ca.pem and the node's own\ndirectory to the node, and name them in peers.ca, peers.certificate and peers.key, and for callers in api.certificate and api.key.\nCallers need ca.pem: --ca. Every certificate is also for localhost and 127.0.0.1. Keep ca.key away from the nodes."
)]
pub struct CertArguments {
    /// What to do.
    #[command(subcommand)]
    pub verb: CertVerb,
}

/// What `dspex cert` does.
#[derive(Debug, Clone, Subcommand)]
pub enum CertVerb {
    /// Make an authority, unless there is one, and certificates for nodes
    Init {
        /// Where they go
        #[arg(long, value_name = "DIR", default_value = "certs")]
        directory: PathBuf,
        /// A node, and the names and addresses under which peers and callers reach it; repeat it for more
        #[arg(long, value_name = "NAME=HOST,...", required = true, value_parser = node)]
        node: Vec<CertNode>,
        /// How long the nodes' certificates are valid
        #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: u32,
        /// Put new ones in the place of those that are there; a node keeps its signing key
        #[arg(long)]
        renew: bool,
        /// What the authority is called
        #[arg(long, value_name = "NAME", default_value = "dspex", value_parser = identifier)]
        cluster: String,
    },
    /// Show what certificates say
    Show {
        /// PEM files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

/// A node that gets a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertNode {
    /// Its directory has this name.
    pub name: String,
    /// Under which peers and callers reach it.
    pub hosts: Vec<String>,
}

/// What the program does with it.
#[derive(Debug, Clone)]
pub struct CertCommand {
    /// As given.
    pub arguments: CertArguments,
    /// `-o`.
    pub format: Format,
}

fn node(text: &str) -> Result<CertNode, String> {
    let (name, hosts) = text.split_once('=').ok_or("write NAME=HOST or NAME=HOST,HOST")?;
    let usable = |name: &str| {
        !name.is_empty()
            && !name.starts_with('.')
            && name.chars().all(|one| one.is_ascii_alphanumeric() || "-_.".contains(one))
    };
    if !usable(name) {
        return Err(format!("{} is no name for a directory: letters, digits, - _ and .", quoted(name)));
    }
    let hosts: Vec<String> = hosts.split(',').map(str::trim).map(str::to_owned).collect();
    if hosts.iter().any(|host| host.is_empty() || host.contains(':') && host.parse::<std::net::Ipv6Addr>().is_err()) {
        return Err(format!("{}: a host is a name or an address, without a port", quoted(text)));
    }
    Ok(CertNode { name: name.to_owned(), hosts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_a_name_and_hosts_without_ports() {
        let hosts = |text: &str| node(text).map(|node| node.hosts);
        assert_eq!(hosts("n=10.0.0.1, n.example"), Ok(vec!["10.0.0.1".to_owned(), "n.example".to_owned()]));
        assert_eq!(hosts("n=::1"), Ok(vec!["::1".to_owned()]));
        for bad in ["n", "n=", "=a", "../n=a", "n=a:7410", ".=a", "n=a,,b"] {
            assert!(node(bad).is_err(), "{bad}");
        }
    }
}
