//! What `dspex node --config` looks at before it takes a port or makes a file; `dspex config validate` looks at the same.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use dspex_actors::PoolClass;

use super::{Configuration, Problem};
use crate::workplace;

/// What keeps the node from starting.
pub(crate) fn problems(configuration: &Configuration) -> Vec<Problem> {
    let mut problems = Vec::new();
    let (api, http) = (configuration.api_address(), configuration.http_address());
    let peers = configuration.peers().map(|peers| peers.map(|peers| peers.listen));
    let taken: Vec<(&str, SocketAddr)> = [
        ("api.listen", api.as_ref().ok().copied()),
        ("http.listen", http.as_ref().ok().copied()),
        ("peers.listen", peers.as_ref().ok().copied().flatten()),
    ]
    .into_iter()
    .filter_map(|(key, address)| Some((key, address?)))
    .collect();
    problems.extend([api.err(), http.err(), peers.err(), configuration.interpreter().err()].into_iter().flatten());
    problems.extend(configuration.certificate_of_callers().err());
    problems.extend(wrong_paths(configuration));
    problems.extend(configuration.problems_of_shipping());
    problems.extend(configuration.wrong_in_sandbox());
    problems.extend(shared(configuration, &taken));
    for (key, file) in configuration.certificate_files() {
        problems.extend(pem(&file, "CERTIFICATE-----").map(|why| configuration.problem(key, why)));
    }
    for (key, file) in configuration.key_files() {
        problems.extend(pem(&file, "PRIVATE KEY-----").map(|why| configuration.problem(key, why)));
    }
    problems
}

/// Interpreters and directories for workers that are not what they must be: a worker could only say that it did not start.
pub(crate) fn wrong_paths(configuration: &Configuration) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut look = |key: String, looked: Result<(), String>| {
        problems.extend(looked.err().map(|why| configuration.problem(&key, why)));
    };
    if let Some(directory) = &configuration.python.directory {
        look("python.directory".to_owned(), workplace::directory(directory));
    }
    for class in PoolClass::ALL {
        let Some(section) = configuration.pools.get(class.name()) else { continue };
        let (python, directory) = section.paths();
        if let Some(python) = python {
            look(format!("pools.{class}.python"), workplace::interpreter(python));
        }
        if let Some(directory) = directory {
            look(format!("pools.{class}.directory"), workplace::directory(directory));
        }
    }
    problems
}

/// Two listeners cannot have one port.
fn shared(configuration: &Configuration, taken: &[(&str, SocketAddr)]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (position, (key, address)) in taken.iter().enumerate() {
        let same = |other: &&(&str, SocketAddr)| other.1 == *address && address.port() != 0;
        if let Some((other, _)) = taken[..position].iter().find(same) {
            problems
                .push(configuration.problem(key, format!("{address} is the port of {other}, too; give it another")));
        }
    }
    problems
}

/// Why a file cannot be used. What is in it is judged when the node speaks TLS with it.
fn pem(file: &Path, label: &str) -> Option<String> {
    match fs::read(file) {
        Err(error) => Some(format!("{}: {error}", file.display())),
        Ok(bytes) if !String::from_utf8_lossy(&bytes).contains(label) => {
            let what = label.trim_end_matches('-').to_lowercase();
            Some(format!("{} holds no {what} in PEM; `dspex cert init` makes the files", file.display()))
        }
        Ok(_) => None,
    }
}
