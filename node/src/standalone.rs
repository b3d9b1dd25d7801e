//! `dspex node --config FILE`: a node in the foreground, with a TCP port and an environment of its own.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dspex_actors::Caller;
use dspex_cli::{Home, token};
use dspex_model::NodeInfo;

use crate::configuration::{self, Configuration, Problem, Problems};
use crate::life::{self, Setup};
use crate::secret;
use crate::server::{Listeners, Port, Tcp};
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
    if let Err(error) = make_private(&data) {
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
    let api = configuration.api_address().map_err(Failure::configuration)?;
    let http = configuration.http_address().map_err(Failure::configuration)?;
    let busy = |error| Failure::other(format!("{error}; give the node a port that is free (api.listen, http.listen)"));
    let (api, http) = (Port::take(api).map_err(busy)?, Port::take(http).map_err(busy)?);
    let token = token_of(&configuration.data_dir).map_err(Failure::other)?;
    leave_for_user(&token, &api.to_string()).map_err(Failure::other)?;
    let own = Arc::new(own_caller(configuration).map_err(Failure::configuration)?);
    let peers = configuration.peers().map_err(Failure::configuration)?;
    let info = NodeInfo {
        name: configuration.node_name(),
        peer_address: peers.as_ref().map(|peers| peers.advertise.clone()).unwrap_or_default(),
        api_address: api.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        signing_key: None,
    };
    Ok(Setup {
        home: configuration.data_dir.clone(),
        listeners: Listeners::Tcp(Tcp { api, http, token }),
        pools: configuration.pools(life::cpus(), Some(own)),
        is_embedded: false,
        idle_max: None,
        peers,
        info,
    })
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
    Ok(Caller { directory, environment, interpreter, interpreter_reason: "python.interpreter".to_owned() })
}

fn make_private(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The token of this node: made at its first start.
fn token_of(data: &Path) -> io::Result<String> {
    let file = data.join("token");
    match fs::read_to_string(&file) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let token = secret::generate()?;
    write_private(&file, &token)?;
    Ok(token)
}

/// For the commands of the user who started it.
fn leave_for_user(token: &str, authority: &str) -> Result<(), String> {
    let home = Home::of_this_process().map_err(|error| error.to_string())?;
    let file: PathBuf = token::left_for_user(home.path(), authority);
    let left = file.parent().map_or(Ok(()), make_private).and_then(|()| write_private(&file, token));
    left.map_err(|error| {
        format!("the token cannot be left at {}: {error}; set DSPEX_HOME to a directory of your own", file.display())
    })
}

fn write_private(file: &Path, text: &str) -> io::Result<()> {
    // Nodes that start at the same time leave theirs in one directory.
    let name = file.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let beside = file.with_file_name(format!("{name}.{}.new", std::process::id()));
    let _ = fs::remove_file(&beside);
    let mut written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    written.write_all(text.as_bytes())?;
    written.write_all(b"\n")?;
    written.sync_all()?;
    fs::rename(beside, file)
}
