//! Where a node listens, and the cluster it forms: what is set, and the rules about it.

use std::net::SocketAddr;
use std::path::PathBuf;

use dspex_consensus::Formation;
use dspex_transport::Security;
use serde::Deserialize;

use super::{Configuration, Problem};
use crate::peers::PeerSetup;

pub(super) const API_DEFAULT: &str = "127.0.0.1:7400";
pub(super) const HTTP_DEFAULT: &str = "127.0.0.1:7480";
pub(super) const PEERS_DEFAULT: &str = "127.0.0.1:7410";
/// More voters make every write slower, and none safer than the loss of three.
pub(super) const VOTERS_MAX: u32 = 7;

/// gRPC.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ApiSection {
    listen: Option<SocketAddr>,
}

/// Probes and metrics.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HttpSection {
    listen: Option<SocketAddr>,
}

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
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl Configuration {
    /// gRPC.
    pub(crate) fn api_address(&self) -> Result<SocketAddr, Problem> {
        self.loopback("api.listen", self.api.listen, API_DEFAULT)
    }

    /// Probes and metrics.
    pub(crate) fn http_address(&self) -> Result<SocketAddr, Problem> {
        self.loopback("http.listen", self.http.listen, HTTP_DEFAULT)
    }

    /// The node among its peers; `None`: it has none.
    pub(crate) fn peers(&self) -> Result<Option<PeerSetup>, Problem> {
        if self.peers.is_none() && self.cluster.is_none() {
            return Ok(None);
        }
        let peers = self.peers.clone().unwrap_or_default();
        let listen = self.address(peers.listen, PEERS_DEFAULT)?;
        if listen.ip().is_unspecified() && peers.advertise.is_none() {
            let why = format!("{listen} is no address that peers can reach; name this node's own");
            return Err(self.problem("peers.advertise", why));
        }
        let advertise = peers.advertise.unwrap_or_else(|| listen.to_string());
        let security = match (peers.ca, peers.certificate, peers.key) {
            (Some(ca), Some(certificate), Some(key)) => Security::Tls { ca, certificate, key },
            (None, None, None) if listen.ip().is_loopback() => Security::Plain,
            (None, None, None) => {
                let why = "it is beyond loopback, where peers need mutual TLS: make certificates with `dspex cert init`, \
                           and name them in peers.ca, peers.certificate and peers.key";
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
        let formation = self.formation()?;
        Ok(Some(PeerSetup { listen, advertise, security, formation }))
    }

    /// The files that protect the connections of peers, by their keys; as far as they are named.
    pub(crate) fn certificate_files(&self) -> Vec<(&'static str, PathBuf)> {
        let Some(peers) = self.peers.clone() else { return Vec::new() };
        let named = [("peers.ca", peers.ca), ("peers.certificate", peers.certificate)];
        named.into_iter().filter_map(|(key, file)| Some((key, file?))).collect()
    }

    /// The files with keys, by their keys.
    pub(crate) fn key_files(&self) -> Vec<(&'static str, PathBuf)> {
        let key = self.peers.as_ref().and_then(|peers| peers.key.clone());
        key.map(|file| ("peers.key", file)).into_iter().collect()
    }

    fn formation(&self) -> Result<Formation, Problem> {
        let cluster = self.cluster.clone().unwrap_or_default();
        let named = u32::try_from(cluster.join.len()).unwrap_or(u32::MAX);
        let expect = cluster.bootstrap_expect.unwrap_or(u32::from(cluster.join.is_empty()));
        // This node's own address may be left out.
        if expect > 1 && named != expect && named != expect - 1 {
            let why = format!(
                "it names {named} nodes, and cluster.bootstrap_expect is {expect}: name exactly the first voters"
            );
            return Err(self.problem("cluster.join", why));
        }
        Ok(Formation { join: cluster.join, expect })
    }

    fn loopback(&self, key: &str, set: Option<SocketAddr>, default: &str) -> Result<SocketAddr, Problem> {
        let address = self.address(set, default)?;
        if address.ip().is_loopback() {
            return Ok(address);
        }
        let why = "it is beyond loopback, where a node needs TLS, which this version does not speak yet; use 127.0.0.1";
        Err(self.problem(key, why))
    }

    fn address(&self, set: Option<SocketAddr>, default: &str) -> Result<SocketAddr, Problem> {
        match set {
            Some(address) => Ok(address),
            None => default.parse::<SocketAddr>().map_err(|error| Problem::new(format!("{default}: {error}"))),
        }
    }
}
