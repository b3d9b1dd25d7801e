//! Whether the ports of a node that does not run are free.

use std::net::{SocketAddr, TcpListener};

use super::finding::Finding;
use crate::configuration::Configuration;

const CHECK: &str = "ports";

/// A port that the node will want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PortFact {
    pub key: &'static str,
    pub address: SocketAddr,
    /// Why it cannot be had.
    pub refused: Option<String>,
}

/// Takes each and gives it back. What the file says wrongly is told elsewhere.
pub(super) fn gather(configuration: &Configuration) -> Vec<PortFact> {
    let peers = configuration.peers().ok().flatten().map(|peers| peers.listen);
    let wanted = [
        ("api.listen", configuration.api_address().ok()),
        ("http.listen", configuration.http_address().ok()),
        ("peers.listen", peers),
    ];
    let named = wanted.into_iter().filter_map(|(key, address)| Some((key, address?)));
    named
        .map(|(key, address)| {
            let refused = TcpListener::bind(address).err().map(|error| error.to_string());
            PortFact { key, address, refused }
        })
        .collect()
}

/// What the facts say.
pub(super) fn check(facts: &[PortFact]) -> Vec<Finding> {
    let refused = facts.iter().filter_map(|fact| Some((fact, fact.refused.as_ref()?)));
    let mut findings: Vec<Finding> = refused
        .map(|(fact, why)| {
            let says = format!("{} ({}) cannot be had: {why}", fact.address, fact.key);
            Finding::failure(CHECK, says, format!("end what listens there, or set {} to another port", fact.key))
        })
        .collect();
    if findings.is_empty() && !facts.is_empty() {
        let addresses: Vec<String> = facts.iter().map(|fact| fact.address.to_string()).collect();
        findings.push(Finding::ok(CHECK, format!("{} are free", addresses.join(", "))));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::State;

    #[test]
    fn a_port_that_is_taken_is_named() {
        let fact = |key, refused: Option<&str>| PortFact {
            key,
            address: "127.0.0.1:7400".parse().expect("an address"),
            refused: refused.map(str::to_owned),
        };
        let findings = check(&[fact("api.listen", Some("Address already in use")), fact("http.listen", None)]);
        assert!(findings.len() == 1 && findings[0].state == State::Failure, "{findings:?}");
        assert!(findings[0].says.contains("127.0.0.1:7400 (api.listen)"), "{findings:?}");
        assert_eq!(check(&[fact("http.listen", None)])[0].state, State::Ok);
        assert!(check(&[]).is_empty(), "a node that runs has its ports");
    }
}
