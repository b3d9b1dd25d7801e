//! `dspex node --config FILE`: a node in the foreground, with a TCP port and an environment of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dspex_actors::Caller;
use dspex_cli::{Home, token};
use dspex_model::NodeInfo;
use dspex_python::SandboxSetup;
use dspex_sandbox::{Endpoints, Kernel};
use dspex_transport::ServerTls;

use crate::configuration::{self, Configuration, ListenerSetup, Problem, Problems};
use crate::life::{self, Setup};
use crate::peers::PeerSetup;
use crate::private_files;
use crate::secret;
use crate::server::{Listeners, OwnToken, Port, Tcp};
use crate::start_error::Failure;

/// Runs the node until it is told to stop. Gives the exit code.
pub(crate) fn run(file: &Path) -> i32 {
    // Reading it does not need the log; where the node's own files go stands in it.
    let configuration = match read(file) {
        Ok(configuration) => configuration,
        Err(Problems(problems)) => {
            for problem in problems {
                eprintln!("error: {problem}");
            }
            return 2;
        }
    };
    let data = configuration.data_dir.clone();
    if let Err(error) = private_files::make_directory(&data) {
        eprintln!("error: the data directory {} cannot be made: {error}", data.display());
        return 6;
    }
    life::run(&data, || setup(&configuration))
}

/// All that is wrong is said at once, before anything is taken or made.
fn read(file: &Path) -> Result<Configuration, Problems> {
    let configuration = Configuration::read(file)?;
    let problems = configuration::problems(&configuration);
    if problems.is_empty() { Ok(configuration) } else { Err(Problems(problems)) }
}

fn setup(configuration: &Configuration) -> Result<Setup, Failure> {
    let missing = if configuration.is_sandboxed() { Kernel::gather().missing() } else { Vec::new() };
    if !missing.is_empty() {
        return Err(Failure::sandbox(&missing));
    }
    let ListenerSetup { api, http, certificate } = configuration.listeners().map_err(Failure::configuration)?;
    let tls = certificate.map(|files| ServerTls::new(&files.certificate, &files.key)).transpose();
    let tls = tls.map_err(Failure::configuration)?;
    let own = Arc::new(own_caller(configuration).map_err(Failure::configuration)?);
    let pools = configuration.pools(life::cpus(), Some(Arc::clone(&own)));
    let peers = configuration.peers().map_err(Failure::configuration)?;
    // Nothing is taken before the settings are known to be right.
    let busy = |error| Failure::other(format!("{error}; give the node a port that is free (api.listen, http.listen)"));
    let (api, http) = (Port::take(api).map_err(busy)?, Port::take(http).map_err(busy)?);
    let address = api.address().map_err(Failure::other)?;
    let ports = [Ok(address), http.address()].into_iter().collect::<io::Result<Vec<_>>>().map_err(Failure::other)?;
    let sandbox = sandbox(configuration, &own, &ports, peers.as_ref())?;
    let token = own_token(&configuration.data_dir, reachable(address, None)).map_err(Failure::other)?;
    let info = NodeInfo {
        name: configuration.node_name(),
        api_address: reachable(address, peers.as_ref().map(|peers| peers.advertise.as_str())),
        peer_address: peers.as_ref().map(|peers| peers.advertise.clone()).unwrap_or_default(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        signing_key: None,
    };
    Ok(Setup {
        home: configuration.data_dir.clone(),
        listeners: Listeners::Tcp(Tcp { api, http, token, tls }),
        pools,
        runs: configuration.run_limits(),
        environments: configuration.environments().map_err(Failure::configuration)?,
        bundles: configuration.bundles(),
        sandbox,
        is_embedded: false,
        idle_max: None,
        peers,
        info,
    })
}

/// The sandbox of the workers, who reach neither these ports nor those of the peers.
fn sandbox(
    configuration: &Configuration,
    own: &Caller,
    ports: &[SocketAddr],
    peers: Option<&PeerSetup>,
) -> Result<Option<SandboxSetup>, Failure> {
    let home = Home::of_this_process().map_err(Failure::other)?;
    let Some(setup) = configuration.sandbox(home.path()) else { return Ok(None) };
    let port_of = |address: &String| address.rsplit_once(':')?.1.parse().ok();
    let of_peers = peers.into_iter().flat_map(|peers| {
        let named = peers.formation.join.iter().chain([&peers.advertise]).filter_map(port_of);
        named.chain([peers.listen.port()]).collect::<Vec<u16>>()
    });
    let endpoints =
        Endpoints { of_callers: ports.iter().map(SocketAddr::port).collect(), of_peers: of_peers.collect() };
    Ok(Some(SandboxSetup { environment: own.environment.clone(), endpoints, ..setup }))
}

/// How callers reach a listener: one on all addresses by the name under which peers reach the node, else on this machine.
fn reachable(listener: SocketAddr, advertised: Option<&str>) -> String {
    if !listener.ip().is_unspecified() {
        return listener.to_string();
    }
    let host = advertised.and_then(|advertised| advertised.rsplit_once(':')).map_or("127.0.0.1", |(host, _)| host);
    format!("{host}:{}", listener.port())
}

/// The environment of this node's workers: an allow-list, and what the file names.
fn own_caller(configuration: &Configuration) -> Result<Caller, Problem> {
    const ALLOWED: &[&str] =
        &["PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"];
    let interpreter = configuration.interpreter()?;
    let python = &configuration.python;
    let named = python.environment.iter().map(String::as_str);
    let environment: BTreeMap<String, String> = ALLOWED
        .iter()
        .copied()
        .chain(named)
        .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
        .collect();
    let directory = python.directory.clone().unwrap_or_else(|| configuration.data_dir.clone());
    Ok(Caller {
        directory,
        environment,
        interpreter,
        interpreter_reason: "python.interpreter".to_owned(),
        placed: None,
    })
}

/// The token of this node, a copy of which lies where the commands of its user look for it.
fn own_token(data: &Path, authority: String) -> Result<Arc<OwnToken>, String> {
    let token = token_of(data).map_err(|error| error.to_string())?;
    leave_for_user(&token, &authority)?;
    let changed = move |token: &str| {
        if let Err(error) = leave_for_user(token, &authority) {
            tracing::warn!(error, "commands of this user do not find the new token by themselves");
        }
    };
    Ok(Arc::new(OwnToken::new(token_file(data), &token, Box::new(changed))))
}

fn token_file(data: &Path) -> PathBuf {
    data.join("token")
}

/// The token of this node: made at its first start.
fn token_of(data: &Path) -> io::Result<String> {
    let file = token_file(data);
    match fs::read_to_string(&file) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let token = secret::generate()?;
    private_files::write(&file, &token)?;
    Ok(token)
}

/// For the commands of the user who started it.
fn leave_for_user(token: &str, authority: &str) -> Result<(), String> {
    let home = Home::of_this_process().map_err(|error| error.to_string())?;
    let file: PathBuf = token::left_for_user(home.path(), authority);
    let left =
        file.parent().map_or(Ok(()), private_files::make_directory).and_then(|()| private_files::write(&file, token));
    left.map_err(|error| {
        format!("the token cannot be left at {}: {error}; set DSPEX_HOME to a directory of your own", file.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_reached_by_a_name_that_others_can_use() {
        let of = |listener: &str, advertised| reachable(listener.parse().expect("an address"), advertised);
        assert_eq!(of("10.0.0.1:7400", Some("n.example:7410")), "10.0.0.1:7400");
        assert_eq!(of("0.0.0.0:7400", Some("n.example:7410")), "n.example:7400");
        assert_eq!(of("[::]:7400", Some("[fd00::1]:7410")), "[fd00::1]:7400");
        assert_eq!(of("0.0.0.0:7400", None), "127.0.0.1:7400");
    }
}
