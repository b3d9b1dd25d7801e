//! Every key of `dspex.toml`, once: what it may be, what it is where nobody sets it, and what it says. The check of a file,
//! `dspex config show`, the JSON Schema and the page of the book are made from this table; a test holds the parser to it.

use dspex_actors::PoolClass;
use toml::Value;

use super::kind::Kind;
use super::layers::Layers;
use super::listeners::{API_DEFAULT, HTTP_DEFAULT};
use super::network::{PEERS_DEFAULT, VOTERS_MAX};
use super::pools::WORKERS_MAX;

/// A key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// Empty at the top; `pools.*` stands for the section of each class of pools, `environments.*` for that of each environment,
    /// whose names are the file's own.
    pub section: &'static str,
    pub name: &'static str,
    pub kind: Kind,
    pub preset: Preset,
    pub says: &'static str,
}

/// What holds where nobody sets it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Preset {
    /// This text.
    Text(&'static str),
    /// Nothing; in words, what that means.
    Nothing(&'static str),
    /// This number.
    Number(i64),
    /// It depends; in words, and as it is here.
    Depends(&'static str, fn(&Layers) -> Option<Value>),
    /// What `PoolSettings::default_of` says.
    OfClass,
}

/// A key with its full name: those of pools are there once for each class.
#[derive(Clone, Debug)]
pub(crate) struct FullKey {
    /// `pools.general.workers`.
    pub name: String,
    pub key: &'static Key,
    pub class: Option<PoolClass>,
}

/// What a node may be.
const ROLES: &[&str] = &["voter", WORKER];
/// One that executes and has no vote.
pub(super) const WORKER: &str = "worker";
/// The section of a class of pools.
pub(super) const OF_POOLS: &str = "pools.*";
/// The section of an environment.
pub(super) const OF_ENVIRONMENTS: &str = "environments.*";
/// What stands before an environment's name.
const ENVIRONMENTS: &str = "environments";

const fn key(section: &'static str, name: &'static str, kind: Kind, preset: Preset, says: &'static str) -> Key {
    Key { section, name, kind, preset, says }
}

const fn of_pool(name: &'static str, kind: Kind, says: &'static str) -> Key {
    key(OF_POOLS, name, kind, Preset::OfClass, says)
}

const fn count(least: u32, most: u32) -> Kind {
    Kind::Count { least, most }
}

/// Whatever else is set for the general pool holds in sessions, too.
const AS_GENERAL: Preset = Preset::Nothing("that of `pools.general`");
const POSITIVE: Kind = Kind::Seconds { zero: false };

/// In the order of the book.
pub(crate) const KEYS: &[Key] = &[
    key(
        "",
        "data_dir",
        Kind::Beside,
        Preset::Text("data"),
        "everything that the node keeps, its token included; relative to the file",
    ),
    key(
        "node",
        "name",
        Kind::Text,
        Preset::Depends("the host's name", |_| Some(Value::String(host_name()))),
        "what the node is called",
    ),
    key(
        "node",
        "role",
        Kind::Choice(ROLES),
        Preset::Text("voter"),
        "`voter`: a node that has the log, and a vote once it is admitted; `worker`: one that only executes, for the cluster of the voters in \
         `cluster.join`, and that nobody has to admit or to remove",
    ),
    key(
        "cluster",
        "join",
        Kind::HostPorts,
        Preset::Nothing("nobody"),
        "the peer ports of the first voters of a cluster, all of them; a node's own may be left out",
    ),
    key(
        "cluster",
        "bootstrap_expect",
        count(0, VOTERS_MAX),
        Preset::Depends("1 without `cluster.join`, else 0: it waits to be admitted", bootstrap),
        "how many voters form the cluster, the same on each of them",
    ),
    key("peers", "listen", Kind::Address, Preset::Text(PEERS_DEFAULT), "the port for peers"),
    key(
        "peers",
        "advertise",
        Kind::HostPort,
        Preset::Depends("`peers.listen`", |layers| layers.effective("peers.listen")),
        "where peers reach it, when that is another name or port",
    ),
    key(
        "peers",
        "plaintext",
        Kind::Switch,
        Preset::Depends("`false`", |_| Some(Value::Boolean(false))),
        "peers without TLS, on loopback only: every user of the machine can do what an admin may",
    ),
    key(
        "peers",
        "ca",
        Kind::Beside,
        Preset::Nothing("none"),
        "the authority that signs the peers' certificates, PEM; relative to the file",
    ),
    key(
        "peers",
        "certificate",
        Kind::Beside,
        Preset::Nothing("none"),
        "this node's certificate, PEM; relative to the file",
    ),
    key("peers", "key", Kind::Beside, Preset::Nothing("none"), "the certificate's key, PEM; relative to the file"),
    key("api", "listen", Kind::Address, Preset::Text(API_DEFAULT), "gRPC, behind a token"),
    key(
        "api",
        "certificate",
        Kind::Beside,
        Preset::Nothing("none: callers on loopback only"),
        "the certificate that callers of `api.listen` and `http.listen` see, PEM; relative to the file",
    ),
    key("api", "key", Kind::Beside, Preset::Nothing("none"), "the certificate's key, PEM; relative to the file"),
    key("http", "listen", Kind::Address, Preset::Text(HTTP_DEFAULT), "probes and metrics"),
    key(
        "python",
        "interpreter",
        Kind::Beside,
        Preset::Nothing("none: a `dspex node` must have one"),
        "the Python that executes programs; it has dspy",
    ),
    key(
        "python",
        "directory",
        Kind::Beside,
        Preset::Depends("the worker's own; without a sandbox `data_dir`", |layers| {
            let is_off = layers.effective("sandbox.mode").is_some_and(|mode| mode.as_str() == Some("off"));
            is_off.then(|| layers.effective("data_dir")).flatten()
        }),
        "where workers start; their programs may read it",
    ),
    key(
        "python",
        "environment",
        Kind::Texts,
        Preset::Nothing("none"),
        "names of the node's own variables that workers get, besides `PATH`, `HOME` and the like",
    ),
    key(
        "sandbox",
        "mode",
        Kind::Choice(&["on", "off"]),
        Preset::Text("on"),
        "whether a worker is kept to what is said here; `off` shows in `dspex cluster status`",
    ),
    key(
        "sandbox",
        "network",
        Kind::Choice(&["all", "none"]),
        Preset::Text("all"),
        "where programs connect: everywhere but to nodes and metadata services, or nowhere",
    ),
    key(
        "sandbox",
        "readable",
        Kind::AllBeside,
        Preset::Nothing("nothing more"),
        "files and directories that programs may read and execute, besides the system's, Python's and their own; relative to the file",
    ),
    key(
        "sandbox",
        "writable",
        Kind::AllBeside,
        Preset::Nothing("nothing more"),
        "those that they may also write, besides the worker's own directory; all workers share them",
    ),
    key(
        "sandbox",
        "directory",
        Kind::Beside,
        Preset::Depends("`workers` in `data_dir`", own_directories),
        "where workers get directories of their own: their HOME and TMPDIR, removed with them",
    ),
    key("sandbox", "disk", Kind::Size, Preset::Text("2GiB"), "what one worker may keep there"),
    key("sandbox", "file_size", Kind::Size, Preset::Text("1GiB"), "the longest file that a program may write"),
    key(
        "sandbox",
        "open_files",
        count(256, 1 << 20),
        Preset::Number(1024),
        "files and connections that one process may have open",
    ),
    key("sandbox", "processes", count(16, 1 << 20), Preset::Number(512), "processes and threads of one worker"),
    key(
        OF_ENVIRONMENTS,
        "python",
        Kind::Beside,
        Preset::Nothing("none: it must be set"),
        "another Python in which programs are executed that were sent to the node; it has dspy. That of `[python]` is `default`",
    ),
    key(
        "bundles",
        "size_max",
        Kind::Size,
        Preset::Text("256MiB"),
        "the files of one project that is sent to the node, together",
    ),
    key(
        "bundles",
        "cache_max",
        Kind::Size,
        Preset::Text("2GiB"),
        "what sent projects may take unpacked; those of runs under way stay, of the others the one goes first that was not used the longest",
    ),
    key(
        "runs",
        "workers_max",
        count(1, 1024),
        Preset::Number(64),
        "Python processes of all runs on this node; runs share them fairly",
    ),
    key(
        "runs",
        "workers_per_run_max",
        count(1, 1024),
        Preset::Nothing("that of `workers_max`"),
        "of one run on this node",
    ),
    key(
        "runs",
        "threads_per_run_max",
        count(1, 4096),
        Preset::Number(4096),
        "examples of one run that execute at once over all nodes, of the runs that are submitted here",
    ),
    key("sessions", "memory_limit", Kind::Size, AS_GENERAL, "of the worker of one session with what it started"),
    key("sessions", "queue_timeout_s", POSITIVE, AS_GENERAL, "how long a call in a session may wait for a worker"),
    key("sessions", "execution_timeout_s", POSITIVE, AS_GENERAL, "how long a call in a session may take in the worker"),
    of_pool("workers", count(1, WORKERS_MAX), "Python processes"),
    of_pool(
        "processes_max",
        count(2, 1024),
        "of all pools of the class, each with an environment of its own, and for `general` of sessions, which have half of them at the most",
    ),
    of_pool("threads", count(1, 4096), "calls in execution at once in each"),
    of_pool("startup_timeout_s", POSITIVE, "for a worker, from its fork until it serves"),
    of_pool("queue_max", count(1, 1_000_000), "calls that may wait; more are refused"),
    of_pool("queue_timeout_s", POSITIVE, "how long a call may wait for a worker"),
    of_pool("execution_timeout_s", POSITIVE, "how long a call may take in the worker"),
    of_pool("retries", count(0, u32::MAX), "executions after a death of its worker that is charged to the call"),
    of_pool("commands", Kind::Texts, "modules that define commands: `module` or `path.py`, relative to `directory`"),
    of_pool("lm", Kind::Text, "the LM where a program names none"),
    of_pool("memory_limit", Kind::Size, "of one worker with what it started"),
    of_pool("idle_timeout_s", Kind::Seconds { zero: true }, "without a call for so long the workers end; 0: never"),
    of_pool("eager", Kind::Switch, "start the workers with the node; only of a `dspex node`"),
    of_pool(
        "record",
        Kind::Choice(&["none", "programs", "all"]),
        "which calls `dspex execution list` shows later: those of `execute_program`, or all but `ping`",
    ),
    of_pool("python", Kind::Beside, "the interpreter; without it the caller's, of a `dspex node` that of `[python]`"),
    of_pool("directory", Kind::Beside, "where workers start; without it as for `python`"),
];

/// All of them by their full names, in the order of the table; without those of environments, whose names are not known.
pub(crate) fn all() -> impl Iterator<Item = FullKey> {
    let plain = |key: &'static Key| {
        let name = join(key.section, key.name);
        FullKey { name, key, class: None }
    };
    let of_pools = |class: PoolClass| {
        let keys = KEYS.iter().filter(|key| key.section == OF_POOLS);
        keys.map(move |key| FullKey { name: format!("pools.{class}.{}", key.name), key, class: Some(class) })
    };
    let outside = KEYS.iter().filter(|key| ![OF_POOLS, OF_ENVIRONMENTS].contains(&key.section)).map(plain);
    outside.chain(PoolClass::ALL.into_iter().flat_map(of_pools))
}

/// Those of the environment with this name.
pub(super) fn of_environment(environment: &str) -> impl Iterator<Item = FullKey> {
    let keys = KEYS.iter().filter(|key| key.section == OF_ENVIRONMENTS);
    keys.map(move |key| FullKey { name: format!("{ENVIRONMENTS}.{environment}.{}", key.name), key, class: None })
}

/// The environment that a name is in, or is the section of.
fn environment_in(name: &str) -> Option<&str> {
    name.strip_prefix(ENVIRONMENTS)?.strip_prefix('.')?.split('.').next().filter(|name| !name.is_empty())
}

/// The key of a full name.
pub(crate) fn find(name: &str) -> Option<FullKey> {
    let mut of_environments = environment_in(name).into_iter().flat_map(of_environment);
    all().find(|full| full.name == name).or_else(|| of_environments.find(|full| full.name == name))
}

/// Whether keys begin with this name and a dot.
pub(super) fn is_section(name: &str) -> bool {
    let of_environment = environment_in(name).is_some_and(|environment| join(ENVIRONMENTS, environment) == name);
    let has = |full: FullKey| full.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
    name == ENVIRONMENTS || of_environment || all().any(has)
}

/// What may stand in a section, keys and sections; for the top: "".
pub(super) fn names_in(section: &str) -> Vec<String> {
    if section == ENVIRONMENTS {
        return vec!["NAME".to_owned()];
    }
    let prefix = join(section, "");
    let mut names: Vec<String> = Vec::new();
    let of_environments = of_environment(environment_in(section).unwrap_or("NAME"));
    for full in all().chain(of_environments) {
        let Some(rest) = full.name.strip_prefix(&prefix) else { continue };
        let name = rest.split('.').next().unwrap_or_default().to_owned();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// `api` and `listen` are `api.listen`.
pub(super) fn join(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

/// What the machine is called.
pub(super) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn bootstrap(layers: &Layers) -> Option<Value> {
    let is_alone = layers.value("cluster.join").and_then(Value::as_array).is_none_or(Vec::is_empty);
    Some(Value::Integer(i64::from(is_alone)))
}

fn own_directories(layers: &Layers) -> Option<Value> {
    let data = layers.effective("data_dir")?;
    let directory = std::path::Path::new(data.as_str()?).join("workers");
    Some(Value::String(directory.to_string_lossy().into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_full_and_unique() {
        let mut names: Vec<String> = all().map(|full| full.name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(find("data_dir").is_some() && find("pools.inference.lm").is_some() && find("pools.*.lm").is_none());
        assert!(is_section("pools") && is_section("pools.general") && is_section("api"));
        assert!(!is_section("api.listen") && !is_section("data") && !is_section("pools.genral"));
        assert!(is_section("environments") && is_section("environments.nlp") && !is_section("environments.nlp.python"));
        assert!(find("environments.nlp.python").is_some() && find("environments.nlp").is_none());
        assert!(find("environments..python").is_none() && find("environments.a.b.python").is_none());
    }

    #[test]
    fn a_section_knows_what_may_stand_in_it() {
        let sections = [
            "node",
            "cluster",
            "peers",
            "api",
            "http",
            "python",
            "sandbox",
            "bundles",
            "runs",
            "sessions",
            "pools",
            "environments",
        ];
        assert_eq!(names_in(""), [&["data_dir"][..], &sections[..]].concat());
        assert_eq!(names_in("pools"), ["general", "optimizer", "inference"]);
        assert_eq!(names_in("http"), ["listen"]);
        assert_eq!(
            (names_in("environments"), names_in("environments.nlp")),
            (vec!["NAME".to_owned()], vec!["python".to_owned()])
        );
    }
}
