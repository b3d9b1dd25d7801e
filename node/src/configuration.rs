//! `dspex.toml`: file, then `DSPEX_SECTION__KEY` of the environment on top. Unknown keys are errors.

mod listeners;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dspex_actors::{Caller, PoolClass, PoolSettings, PoolsSettings};
use dspex_consensus::Formation;
use dspex_transport::Security;
use serde::Deserialize;
use toml::Value;
use toml::map::Map;

use crate::peers::PeerSetup;
use crate::workplace;
use listeners::{ApiSection, HttpSection};

pub(crate) use listeners::ListenerSetup;

/// The settings of a node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Configuration {
    /// Everything the node keeps.
    pub data_dir: PathBuf,
    pub node: NodeSection,
    pub cluster: Option<ClusterSection>,
    pub peers: Option<PeersSection>,
    pub api: ApiSection,
    pub http: HttpSection,
    pub python: PythonSection,
    pools: BTreeMap<String, PoolSection>,
}

/// What the node is called.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NodeSection {
    /// For people; the host's name unless set.
    pub name: Option<String>,
}

/// The first voters of a cluster.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ClusterSection {
    /// HOST:PORT of their peer ports.
    join: Vec<String>,
    /// How many of them form it.
    bootstrap_expect: Option<u32>,
}

/// The port for peers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PeersSection {
    listen: Option<String>,
    /// Where peers reach it, when that is another name or port.
    advertise: Option<String>,
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

/// The Python of a node that is not embedded.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PythonSection {
    /// The interpreter.
    pub interpreter: Option<PathBuf>,
    /// Where workers start.
    pub directory: Option<PathBuf>,
    /// Names of the node's own variables that workers get, too.
    pub environment: Vec<String>,
}

/// What is set for a class of pools; the rest has its default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PoolSection {
    workers: Option<u32>,
    threads: Option<u32>,
    startup_timeout_s: Option<f64>,
    queue_max: Option<u32>,
    queue_timeout_s: Option<f64>,
    execution_timeout_s: Option<f64>,
    retries: Option<u32>,
    commands: Option<Vec<String>>,
    lm: Option<String>,
    memory_limit: Option<Size>,
    idle_timeout_s: Option<f64>,
    eager: Option<bool>,
    python: Option<PathBuf>,
    directory: Option<PathBuf>,
}

/// Bytes, as a number or as "512MiB".
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Size {
    Bytes(u64),
    Text(String),
}

const PEERS_DEFAULT: &str = "127.0.0.1:7410";
/// More voters make every write slower, and none safer than the loss of three.
const VOTERS_MAX: u32 = 7;
/// Of a pool; a machine that can run more has other limits first.
const WORKERS_MAX: u32 = 64;

impl Configuration {
    /// Reads a file.
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let shown = file.display();
        let text = std::fs::read_to_string(file).map_err(|error| format!("{shown}: {error}"))?;
        let mut table: Map<String, Value> = toml::from_str(&text).map_err(|error| format!("{shown}: {error}"))?;
        overlay(&mut table, std::env::vars())?;
        let mut read: Self = Value::Table(table).try_into().map_err(|error| format!("{shown}: {error}"))?;
        if read.data_dir.as_os_str().is_empty() {
            read.data_dir = "data".into();
        }
        // Relative to the file, not to wherever the node is started.
        let beside = std::path::absolute(file).map_err(|error| error.to_string())?;
        let directory = beside.parent().unwrap_or(Path::new("/"));
        read.data_dir = directory.join(&read.data_dir);
        read.api.beside(directory);
        let peers = read.peers.iter_mut().flat_map(|peers| [&mut peers.ca, &mut peers.certificate, &mut peers.key]);
        let python = [&mut read.python.interpreter, &mut read.python.directory];
        let pools = read.pools.values_mut().flat_map(|pool| [&mut pool.python, &mut pool.directory]);
        for path in peers.chain(python).chain(pools).flatten() {
            // Without its dots, as it is shown.
            *path = directory.join(&path).components().collect();
        }
        Ok(read)
    }

    /// Without a file.
    pub(crate) fn of_environment() -> Result<Self, String> {
        let mut table = Map::new();
        overlay(&mut table, std::env::vars())?;
        Value::Table(table).try_into().map_err(|error| format!("the environment (DSPEX_...): {error}"))
    }

    /// Where callers reach the node.
    pub(crate) fn listeners(&self) -> Result<ListenerSetup, String> {
        listeners::setup(&self.api, &self.http)
    }

    /// What the node is called.
    pub(crate) fn node_name(&self) -> String {
        let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        self.node.name.clone().unwrap_or_else(host)
    }

    /// The node among its peers; `None`: it has none.
    pub(crate) fn peers(&self) -> Result<Option<PeerSetup>, String> {
        if self.peers.is_none() && self.cluster.is_none() {
            return Ok(None);
        }
        let peers = self.peers.clone().unwrap_or_default();
        let cluster = self.cluster.clone().unwrap_or_default();
        let text = peers.listen.as_deref().unwrap_or(PEERS_DEFAULT);
        let listen: SocketAddr =
            text.parse().map_err(|_| format!("peers.listen: {text:?} is not an address like {PEERS_DEFAULT}"))?;
        let advertise = peers.advertise.clone().unwrap_or_else(|| listen.to_string());
        host_and_port("peers.advertise", &advertise)?;
        if listen.ip().is_unspecified() && peers.advertise.is_none() {
            return Err(format!("peers.advertise: {listen} is no address that peers can reach; name this node's own"));
        }
        let security = match (peers.ca, peers.certificate, peers.key) {
            (Some(ca), Some(certificate), Some(key)) => Security::Tls { ca, certificate, key },
            (None, None, None) if listen.ip().is_loopback() => Security::Plain,
            (None, None, None) => {
                return Err(format!(
                    "peers.listen: {listen} is beyond loopback, where peers need mutual TLS: make certificates with \
                     `dspex cert init`, and name them in peers.ca, peers.certificate and peers.key"
                ));
            }
            _ => return Err("peers.ca, peers.certificate and peers.key belong together: name all three".to_owned()),
        };
        let mut formation = cluster.formation()?;
        // A node does not answer itself, and is not to be told as one that does not answer.
        formation.join.retain(|address| *address != advertise && *address != listen.to_string());
        Ok(Some(PeerSetup { listen, advertise, security, formation }))
    }

    /// The settings of the pools on a machine with so many CPUs.
    pub(crate) fn pools(&self, cpus: usize, own: Option<Arc<Caller>>) -> Result<PoolsSettings, String> {
        let mut classes: HashMap<PoolClass, PoolSettings> = HashMap::new();
        for class in PoolClass::ALL {
            let mut settings = PoolSettings::default_of(class, cpus);
            if own.is_some() {
                settings.idle_timeout = None;
            }
            if let Some(section) = self.pools.get(class.name()) {
                section.apply(&mut settings).map_err(|why| format!("pools.{class}.{why}"))?;
            }
            classes.insert(class, settings);
        }
        for name in self.pools.keys() {
            name.parse::<PoolClass>()?;
        }
        Ok(PoolsSettings { classes, own })
    }
}

impl ClusterSection {
    fn formation(&self) -> Result<Formation, String> {
        for address in &self.join {
            host_and_port("cluster.join", address)?;
        }
        let named = u32::try_from(self.join.len()).unwrap_or(u32::MAX);
        let expect = self.bootstrap_expect.unwrap_or(u32::from(self.join.is_empty()));
        if expect > VOTERS_MAX {
            return Err(format!(
                "cluster.bootstrap_expect: {expect} voters are too many; up to {VOTERS_MAX} work well"
            ));
        }
        // Two such nodes would make two clusters.
        if expect == 1 && named > 1 {
            return Err(format!(
                "cluster.join names {named} nodes, and cluster.bootstrap_expect is 1: leave bootstrap_expect out of the file of a \
                 node that joins a cluster, or set it to the number of first voters"
            ));
        }
        // This node's own address may be left out.
        if expect > 1 && named != expect && named != expect - 1 {
            return Err(format!(
                "cluster.join names {named} nodes, and cluster.bootstrap_expect is {expect}: name exactly the first voters"
            ));
        }
        Ok(Formation { join: self.join.clone(), expect })
    }
}

/// Whether a text names a host and a port.
pub(crate) fn host_and_port(name: &str, text: &str) -> Result<(), String> {
    let port =
        text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).and_then(|(_, port)| port.parse::<u16>().ok());
    port.map(|_| ()).ok_or_else(|| format!("{name}: {text:?} is not HOST:PORT, like node-1.example:7410"))
}

impl PoolSection {
    fn apply(&self, settings: &mut PoolSettings) -> Result<(), String> {
        let counts = [
            ("workers", self.workers, WORKERS_MAX),
            ("threads", self.threads, 4096),
            ("queue_max", self.queue_max, 1_000_000),
        ];
        for (name, value, most) in counts {
            if value.is_some_and(|value| value == 0 || value > most) {
                return Err(format!("{name} must be between 1 and {most}"));
            }
        }
        settings.workers = self.workers.unwrap_or(settings.workers);
        settings.threads = self.threads.unwrap_or(settings.threads);
        settings.queue_max = self.queue_max.unwrap_or(settings.queue_max);
        settings.retries = self.retries.unwrap_or(settings.retries);
        settings.startup_timeout =
            time("startup_timeout_s", self.startup_timeout_s)?.unwrap_or(settings.startup_timeout);
        settings.queue_timeout = time("queue_timeout_s", self.queue_timeout_s)?.unwrap_or(settings.queue_timeout);
        settings.execution_timeout =
            time("execution_timeout_s", self.execution_timeout_s)?.unwrap_or(settings.execution_timeout);
        if let Some(seconds) = self.idle_timeout_s {
            // 0: never.
            settings.idle_timeout = if seconds == 0.0 { None } else { time("idle_timeout_s", Some(seconds))? };
        }
        settings.commands = self.commands.clone().unwrap_or_default();
        settings.lm.clone_from(&self.lm);
        settings.memory_limit = self.memory_limit.as_ref().map(Size::bytes).transpose()?;
        settings.eager = self.eager.unwrap_or(settings.eager);
        if let Some(python) = &self.python {
            workplace::interpreter("python", python)?;
        }
        if let Some(directory) = &self.directory {
            workplace::directory("directory", directory)?;
        }
        settings.python.clone_from(&self.python);
        settings.directory.clone_from(&self.directory);
        Ok(())
    }
}

impl Size {
    fn bytes(&self) -> Result<u64, String> {
        let text = match self {
            Self::Bytes(bytes) => return Ok(*bytes),
            Self::Text(text) => text.trim(),
        };
        let end = text.find(|one: char| !one.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let factor: u64 = match unit.trim() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(format!("memory_limit: {text:?} is not a size like \"512MiB\" or \"2GiB\"")),
        };
        let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).filter(|bytes| *bytes > 0);
        bytes.ok_or_else(|| format!("memory_limit: {text:?} is not a size like \"512MiB\" or \"2GiB\""))
    }
}

fn time(name: &str, seconds: Option<f64>) -> Result<Option<Duration>, String> {
    let Some(seconds) = seconds else { return Ok(None) };
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if !time.is_zero() && time < Duration::from_secs(3_155_760_000) => Ok(Some(time)),
        _ => Err(format!("{name} must be more than 0 seconds")),
    }
}

/// `DSPEX_API__LISTEN=...` is `api.listen`. Names without `__` are others' (DSPEX_HOME).
fn overlay(table: &mut Map<String, Value>, variables: impl Iterator<Item = (String, String)>) -> Result<(), String> {
    for (name, text) in variables {
        let Some(path) = name.strip_prefix("DSPEX_").filter(|path| path.contains("__")) else { continue };
        let mut keys: Vec<String> = path.split("__").map(str::to_ascii_lowercase).collect();
        let last = keys.pop().unwrap_or_default();
        let mut place = &mut *table;
        for key in keys {
            let next = place.entry(key).or_insert_with(|| Value::Table(Map::new()));
            place = next.as_table_mut().ok_or_else(|| format!("{name}: a setting, not a section, has this name"))?;
        }
        place.insert(last, scalar(&text));
    }
    Ok(())
}

/// A value as TOML writes it, else the text itself.
fn scalar(text: &str) -> Value {
    let written: Result<Map<String, Value>, _> = toml::from_str(&format!("value = {text}"));
    written.ok().and_then(|mut table| table.remove("value")).unwrap_or_else(|| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Configuration, String> {
        let mut table: Map<String, Value> = toml::from_str(text).map_err(|error| error.to_string())?;
        overlay(&mut table, std::iter::empty())?;
        Value::Table(table).try_into().map_err(|error: toml::de::Error| error.to_string())
    }

    #[test]
    fn what_is_set_stands_and_the_rest_has_its_default() {
        let text =
            "[pools.general]\nworkers = 3\nqueue_timeout_s = 0.5\nmemory_limit = \"512MiB\"\ncommands = [\"tools.py\"]";
        let pools = read(text).expect("valid").pools(2, None).expect("valid");
        let general = &pools.classes[&PoolClass::General];
        assert_eq!((general.workers, general.queue_timeout), (3, Duration::from_millis(500)));
        assert_eq!((general.memory_limit, general.queue_max), (Some(512 << 20), 1000));
        assert_eq!(pools.classes[&PoolClass::Optimizer].execution_timeout, Duration::from_secs(14_400));
    }

    #[test]
    fn errors_name_the_key() {
        for (text, named) in [
            ("colour = 1", "colour"),
            ("[pools.general]\nworker = 1", "worker"),
            ("[pools.genral]\nworkers = 1", "genral"),
            ("[pools.general]\nworkers = 0", "pools.general.workers"),
            ("[pools.general]\nqueue_timeout_s = -1", "pools.general.queue_timeout_s"),
            ("[pools.general]\nmemory_limit = \"lots\"", "memory_limit"),
            ("[pools.general]\npython = \"/nonexistent\"", "pools.general.python: /nonexistent"),
            ("[pools.inference]\ndirectory = \"/nonexistent\"", "pools.inference.directory: /nonexistent"),
        ] {
            let error = read(text).and_then(|read| read.pools(2, None).map(|_| ())).expect_err(text);
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn a_node_has_peers_when_the_file_says_so() {
        let peers = |text: &str| read(text).and_then(|read| read.peers());
        assert!(peers("").expect("valid").is_none());
        let alone = peers("[peers]").expect("valid").expect("peers");
        assert_eq!((alone.advertise.as_str(), alone.formation.expect), ("127.0.0.1:7410", 1));
        let three = "[cluster]\njoin = [\"a:1\", \"b:1\", \"c:1\"]\nbootstrap_expect = 3";
        assert_eq!(peers(three).expect("valid").expect("peers").formation.join.len(), 3);
        let own = "[cluster]\njoin = [\"127.0.0.1:7410\", \"b:1\", \"c:1\"]\nbootstrap_expect = 3";
        assert_eq!(peers(own).expect("valid").expect("peers").formation.join, ["b:1", "c:1"], "nobody asks itself");
        // Without a number it never forms a cluster: it is to be admitted to one.
        let joining = peers("[cluster]\njoin = [\"a:1\"]").expect("valid").expect("peers");
        assert_eq!(joining.formation.expect, 0);
        for (text, named) in [
            ("[cluster]\njoin = [\"a:1\"]\nbootstrap_expect = 3", "names 1 nodes"),
            ("[cluster]\njoin = [\"a:1\", \"b:1\"]\nbootstrap_expect = 1", "leave bootstrap_expect out"),
            ("[cluster]\njoin = [\"a\"]", "cluster.join"),
            ("[cluster]\nbootstrap_expect = 99", "too many"),
            ("[peers]\nlisten = \"0.0.0.0:7410\"", "peers.advertise"),
            ("[peers]\nlisten = \"10.0.0.1:7410\"", "dspex cert init"),
            ("[peers]\nca = \"ca.pem\"", "belong together"),
        ] {
            let error = peers(text).expect_err(text);
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn the_environment_goes_before_the_file() {
        let mut table: Map<String, Value> = toml::from_str("[pools.general]\nworkers = 3").expect("valid");
        let variables =
            [("DSPEX_POOLS__GENERAL__WORKERS", "5"), ("DSPEX_API__LISTEN", "127.0.0.1:1"), ("DSPEX_HOME", "/h")];
        overlay(&mut table, variables.map(|(name, text)| (name.to_owned(), text.to_owned())).into_iter())
            .expect("valid");
        let read: Configuration = Value::Table(table).try_into().expect("valid");
        assert_eq!(read.pools["general"].workers, Some(5));
        assert_eq!(read.api.listen.as_deref(), Some("127.0.0.1:1"));
    }
}
