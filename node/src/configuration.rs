//! What a node is told: `dspex.toml`, with `DSPEX_SECTION__KEY` of the environment on top. Unknown keys are errors.
//!
//! `key` is the one table of what can be set; `layers` puts file, environment and defaults together and checks them against it;
//! the sections here are what the rest of the node reads.

mod check;
mod command;
mod environments;
mod key;
mod kind;
mod layers;
mod listeners;
mod network;
#[cfg(test)]
mod page;
mod pools;
mod problem;
mod runs;
mod sandbox;
mod schema;
mod show;
#[cfg(test)]
mod tests;
mod units;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dspex_actors::{Caller, PoolClass, PoolsSettings};
use serde::Deserialize;
use toml::Value;

use crate::workplace;

pub(crate) use check::{problems, wrong_paths};
pub(crate) use command::run;
use environments::{BundlesSection, EnvironmentSection};
use key::{WORKER, host_name};
pub(crate) use kind::is_host_and_port;
pub(crate) use layers::Layers;
pub(crate) use listeners::ListenerSetup;
use listeners::{ApiSection, HttpSection};
use network::{ClusterSection, PeersSection};
use pools::{PoolSection, SessionsSection};
pub(crate) use problem::{Problem, Problems};
use runs::RunsSection;
use sandbox::SandboxSection;

/// The settings of a node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Configuration {
    /// Everything the node keeps.
    pub data_dir: PathBuf,
    node: NodeSection,
    cluster: Option<ClusterSection>,
    peers: Option<PeersSection>,
    api: ApiSection,
    http: HttpSection,
    pub python: PythonSection,
    environments: BTreeMap<String, EnvironmentSection>,
    bundles: BundlesSection,
    sandbox: SandboxSection,
    runs: RunsSection,
    sessions: SessionsSection,
    pools: BTreeMap<String, PoolSection>,
    /// Where all of it comes from.
    #[serde(skip)]
    layers: Layers,
}

/// What the node is called, and what it is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NodeSection {
    /// For people; the host's name unless set.
    name: Option<String>,
    /// `voter` unless set.
    role: Option<String>,
}

/// The Python of a node that is not embedded.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PythonSection {
    /// The interpreter.
    interpreter: Option<PathBuf>,
    /// Where workers start.
    pub directory: Option<PathBuf>,
    /// Names of the node's own variables that workers get, too.
    pub environment: Vec<String>,
}

impl Configuration {
    /// Of a file, and of this process's environment.
    pub(crate) fn read(file: &Path) -> Result<Self, Problems> {
        Self::of(Layers::read(file, variables())?)
    }

    /// Of the node in a home: its file where there is one, and this process's environment.
    pub(crate) fn of_home(home: &Path) -> Result<Self, Problems> {
        Self::of(layers_of_home(home)?)
    }

    /// Of what is set.
    pub(crate) fn of(layers: Layers) -> Result<Self, Problems> {
        let table = Value::Table(layers.table().clone());
        // The table of keys has said yes to all of it: this finds only where the two disagree.
        let mut read: Self =
            table.try_into().map_err(|error: toml::de::Error| Problem::new(error.message().to_owned()))?;
        if let Some(Value::String(data)) = layers.effective("data_dir") {
            read.data_dir = data.into();
        }
        read.layers = layers;
        Ok(read)
    }

    /// What the node is called.
    pub(crate) fn node_name(&self) -> String {
        self.node.name.clone().unwrap_or_else(host_name)
    }

    /// Whether the node only works: it has no vote, and nothing of the log.
    pub(crate) fn is_worker(&self) -> bool {
        self.node.role.as_deref() == Some(WORKER)
    }

    /// The Python that executes programs.
    pub(crate) fn interpreter(&self) -> Result<PathBuf, Problem> {
        const KEY: &str = "python.interpreter";
        let Some(interpreter) = &self.python.interpreter else {
            let why = "python.interpreter is not set: name the interpreter that has dspy, e.g. interpreter = \
                       \"/opt/app/.venv/bin/python\"";
            return Err(Problem::new(why));
        };
        workplace::interpreter(interpreter).map_err(|why| self.problem(KEY, why))?;
        Ok(interpreter.clone())
    }

    /// What runs may have of this node.
    pub(crate) fn run_limits(&self) -> dspex_actors::RunLimits {
        self.runs.limits()
    }

    /// The settings of the pools on a machine with so many CPUs.
    pub(crate) fn pools(&self, cpus: usize, own: Option<Arc<Caller>>) -> PoolsSettings {
        let of_class = |class: PoolClass| {
            let mut settings = pools::defaults(class, cpus, own.is_none());
            if let Some(section) = self.pools.get(class.name()) {
                section.apply(&mut settings);
            }
            settings
        };
        let classes = PoolClass::ALL.into_iter().map(|class| (class, of_class(class))).collect();
        let sessions = self.sessions.of(of_class(PoolClass::General));
        PoolsSettings { classes, sessions, own }
    }

    /// Whether a pool, or a session, holds its workers to a limit of memory.
    pub(crate) fn limits_memory(&self) -> bool {
        let pools = self.pools(1, None);
        pools.classes.values().chain([&pools.sessions]).any(|settings| settings.memory_limit.is_some())
    }

    /// What is wrong with a key, with its place and its value.
    fn problem(&self, key: &str, message: impl Into<String>) -> Problem {
        self.layers.problem(key, message)
    }
}

/// What is set for the node in a home.
pub(crate) fn layers_of_home(home: &Path) -> Result<Layers, Problems> {
    let file = home.join("dspex.toml");
    let layers = if file.exists() { Layers::read(&file, variables()) } else { Layers::of_variables(home, variables()) };
    layers.map(Layers::embedded)
}

/// This process's environment. What is not UTF-8 is nobody's setting.
fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)))
}
