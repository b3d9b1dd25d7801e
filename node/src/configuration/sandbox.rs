//! `[sandbox]`: what programs may do on the machine of a `dspex node`.

use std::path::{Path, PathBuf};

use dspex_actors::PoolClass;
use dspex_python::SandboxSetup;
use dspex_sandbox::{Network, Settings, real_path, system_tree};
use serde::Deserialize;

use super::units::Size;
use super::{Configuration, Problem};

/// What is set; the rest has its default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SandboxSection {
    mode: Option<String>,
    network: Option<String>,
    readable: Vec<PathBuf>,
    writable: Vec<PathBuf>,
    directory: Option<PathBuf>,
    disk: Option<Size>,
    file_size: Option<Size>,
    open_files: Option<u32>,
    processes: Option<u32>,
}

impl SandboxSection {
    fn settings(&self) -> Settings {
        let bytes = |set: Option<Size>, default| set.map_or(default, |Size(bytes)| bytes);
        let defaults = Settings::default();
        Settings {
            network: if self.network.as_deref() == Some("none") { Network::None } else { Network::All },
            processes: self.processes.unwrap_or(defaults.processes),
            open_files: self.open_files.unwrap_or(defaults.open_files),
            file_bytes: bytes(self.file_size, defaults.file_bytes),
            disk_bytes: bytes(self.disk, defaults.disk_bytes),
            readable: self.readable.clone(),
            writable: self.writable.clone(),
        }
    }
}

impl Configuration {
    /// Whether workers are kept to a sandbox.
    pub(crate) fn is_sandboxed(&self) -> bool {
        self.sandbox.mode.as_deref() != Some("off")
    }

    /// The sandbox of the workers, all but the variables that they get; `None`: it was written out that there is none. `home`
    /// is where the node leaves its token for its user.
    pub(crate) fn sandbox(&self, home: &Path) -> Option<SandboxSetup> {
        self.is_sandboxed().then(|| SandboxSetup {
            settings: self.sandbox.settings(),
            directories: self.sandbox.directory.clone().unwrap_or_else(|| self.data_dir.join("workers")),
            hidden: self.hidden().into_iter().chain([home.to_owned()]).collect(),
            programs: self.programs().into_iter().map(|(_, path)| path).collect(),
            // Where the node unpacks projects that were sent to it.
            shipped: Some(self.data_dir.join("bundles")),
            interpreters: self.interpreters(),
            ..SandboxSetup::default()
        })
    }

    /// What of the file's settings would not do what was meant.
    pub(super) fn wrong_in_sandbox(&self) -> Vec<Problem> {
        if !self.is_sandboxed() {
            return Vec::new();
        }
        let mut problems = Vec::new();
        for (key, path) in self.programs() {
            problems.extend(self.unreadable(&path).map(|why| self.problem(&key, why)));
        }
        for path in &self.sandbox.readable {
            let why = not_there(path).or_else(|| self.unreadable(path));
            problems.extend(why.map(|why| self.problem("sandbox.readable", why)));
        }
        for path in &self.sandbox.writable {
            let why = not_there(path).or_else(|| self.unwritable(path));
            problems.extend(why.map(|why| self.problem("sandbox.writable", why)));
        }
        problems
    }

    /// Directories that programs may read and that hold the node's own data: names in it are seen then.
    pub(crate) fn readable_beside_data(&self) -> Vec<PathBuf> {
        let data = real_path(&self.data_dir);
        let programs = self.programs().into_iter().map(|(_, path)| path);
        let mut beside: Vec<PathBuf> = programs.chain(self.sandbox.readable.iter().cloned()).collect();
        beside.retain(|path| data.starts_with(real_path(path)));
        beside.extend(system_tree(&data));
        beside.dedup();
        beside
    }

    /// What no program sees.
    fn hidden(&self) -> Vec<PathBuf> {
        let keys = self.key_files().into_iter().map(|(_, file)| file);
        [self.data_dir.clone()].into_iter().chain(self.layers.file().map(Path::to_owned)).chain(keys).collect()
    }

    /// Directories of programs, by their keys.
    fn programs(&self) -> Vec<(String, PathBuf)> {
        let of_pools = PoolClass::ALL.into_iter().filter_map(|class| {
            let (_, directory) = self.pools.get(class.name())?.paths();
            Some((format!("pools.{class}.directory"), directory?.clone()))
        });
        let own = self.python.directory.clone().map(|directory| ("python.directory".to_owned(), directory));
        own.into_iter().chain(of_pools).collect()
    }

    fn interpreters(&self) -> Vec<PathBuf> {
        let of_pools = PoolClass::ALL.into_iter().filter_map(|class| self.pools.get(class.name())?.paths().0.cloned());
        let of_environments = self.environment_pythons().map(Path::to_owned);
        self.python.interpreter.clone().into_iter().chain(of_pools).chain(of_environments).collect()
    }

    fn unreadable(&self, path: &Path) -> Option<String> {
        let asked = real_path(path);
        if asked == Path::new("/") {
            return Some("it is the whole machine: name the directory of your programs".to_owned());
        }
        let hidden = self.hidden().into_iter().find(|hidden| asked.starts_with(real_path(hidden)))?;
        Some(format!("{} lies in {}, which no program may read: put it elsewhere", path.display(), hidden.display()))
    }

    fn unwritable(&self, path: &Path) -> Option<String> {
        let asked = real_path(path);
        let meets = |hidden: &PathBuf| {
            let hidden = real_path(hidden);
            asked.starts_with(&hidden) || hidden.starts_with(&asked)
        };
        let hidden = self.hidden().into_iter().find(meets)?;
        Some(format!("a program could change {}, which is the node's: name a directory without it", hidden.display()))
    }
}

fn not_there(path: &Path) -> Option<String> {
    path.metadata().err().map(|error| format!("{}: {error}", path.display()))
}
