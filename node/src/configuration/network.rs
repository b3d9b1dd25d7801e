//! A node among its peers, and the cluster it forms: what is set, and the rules about it.

use std::net::SocketAddr;
use std::path::PathBuf;

use dspex_consensus::Formation;
use dspex_transport::Security;
use serde::Deserialize;

use super::{Configuration, Problem};
use crate::peers::PeerSetup;

pub(super) const PEERS_DEFAULT: &str = "127.0.0.1:7410";
/// More voters make every write slower, and none safer than the loss of three.
pub(super) const VOTERS_MAX: u32 = 7;

/// The first voters of a cluster.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ClusterSection {
    /// HOST:PORT of their peer ports.
    join: Vec<String>,
    /// How many of them form it.
    bootstrap_expect: Option<u32>,
}

/// The port for peers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PeersSection {
    listen: Option<SocketAddr>,
    /// Where peers reach it, when that is another name or port.
    advertise: Option<String>,
    /// Without TLS, on loopback only.
    plaintext: bool,
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl Configuration {
    /// The node among its peers; `None`: it has none.
    pub(crate) fn peers(&self) -> Result<Option<PeerSetup>, Problem> {
        if self.peers.is_none() && self.cluster.is_none() && !self.is_worker() {
            return Ok(None);
        }
        let peers = self.peers.clone().unwrap_or_default();
        let listen = self.address(peers.listen, PEERS_DEFAULT)?;
        if listen.ip().is_unspecified() && peers.advertise.is_none() && !self.is_worker() {
            let why = format!("{listen} is no address that peers can reach; name this node's own");
            return Err(self.problem("peers.advertise", why));
        }
        let advertise = peers.advertise.unwrap_or_else(|| listen.to_string());
        let security = match (peers.ca, peers.certificate, peers.key) {
            (Some(_), Some(_), Some(_)) if peers.plaintext => {
                let why = "peers.ca, peers.certificate and peers.key are named, too: leave one or the other out";
                return Err(self.problem("peers.plaintext", why));
            }
            (Some(ca), Some(certificate), Some(key)) => Security::Tls { ca, certificate, key },
            (None, None, None) if listen.ip().is_loopback() && peers.plaintext => Security::Plain,
            (None, None, None) => {
                let why = "peers need mutual TLS: make certificates with `dspex cert init`, and name them in peers.ca, \
                           peers.certificate and peers.key. On loopback peers.plaintext = true does without; then every user of \
                           this machine can do what an admin may";
                return Err(self.problem("peers.listen", why));
            }
            (ca, certificate, _) => {
                let missing = if ca.is_none() {
                    "peers.ca"
                } else if certificate.is_none() {
                    "peers.certificate"
                } else {
                    "peers.key"
                };
                let why = "it is missing; peers.ca, peers.certificate and peers.key belong together: name all three";
                return Err(self.problem(missing, why));
            }
        };
        let mut formation = self.formation()?;
        // A node need not ask itself.
        formation.join.retain(|address| *address != advertise && *address != listen.to_string());
        Ok(Some(PeerSetup { listen, advertise, security, formation }))
    }

    /// The files that protect connections, by their keys; as far as they are named.
    pub(crate) fn certificate_files(&self) -> Vec<(&'static str, PathBuf)> {
        let peers = self.peers.clone().unwrap_or_default();
        let (for_callers, _) = self.files_for_callers();
        let named =
            [("peers.ca", peers.ca), ("peers.certificate", peers.certificate), ("api.certificate", for_callers)];
        named.into_iter().filter_map(|(key, file)| Some((key, file?))).collect()
    }

    /// The files with keys, by their keys.
    pub(crate) fn key_files(&self) -> Vec<(&'static str, PathBuf)> {
        let peers = self.peers.as_ref().and_then(|peers| peers.key.clone());
        let (_, for_callers) = self.files_for_callers();
        let named = [("peers.key", peers), ("api.key", for_callers)];
        named.into_iter().filter_map(|(key, file)| Some((key, file?))).collect()
    }

    fn formation(&self) -> Result<Formation, Problem> {
        let cluster = self.cluster.clone().unwrap_or_default();
        let named = u32::try_from(cluster.join.len()).unwrap_or(u32::MAX);
        if self.is_worker() {
            return self.formation_of_worker(cluster);
        }
        let expect = cluster.bootstrap_expect.unwrap_or(u32::from(cluster.join.is_empty()));
        // Two such nodes would make two clusters.
        if expect == 1 && named > 1 {
            let why = format!(
                "cluster.join names {named} nodes: leave bootstrap_expect out of the file of a node that joins a cluster, or set \
                 it to the number of first voters"
            );
            return Err(self.problem("cluster.bootstrap_expect", why));
        }
        // This node's own address may be left out.
        if expect > 1 && named != expect && named != expect - 1 {
            let why = format!(
                "it names {named} nodes, and cluster.bootstrap_expect is {expect}: name exactly the first voters"
            );
            return Err(self.problem("cluster.join", why));
        }
        Ok(Formation { join: cluster.join, expect, is_worker: false })
    }

    /// It dials the voters, and nobody dials it.
    fn formation_of_worker(&self, cluster: ClusterSection) -> Result<Formation, Problem> {
        if cluster.join.is_empty() {
            let why = "a node with node.role = \"worker\" works for a cluster: name the peer ports of its voters";
            return Err(self.problem("cluster.join", why));
        }
        if cluster.bootstrap_expect.is_some_and(|expect| expect > 0) {
            let why = "a node with node.role = \"worker\" forms no cluster: leave it out";
            return Err(self.problem("cluster.bootstrap_expect", why));
        }
        Ok(Formation { join: cluster.join, expect: 0, is_worker: true })
    }

    pub(super) fn address(&self, set: Option<SocketAddr>, default: &str) -> Result<SocketAddr, Problem> {
        match set {
            Some(address) => Ok(address),
            None => default.parse::<SocketAddr>().map_err(|error| Problem::new(format!("{default}: {error}"))),
        }
    }
}
