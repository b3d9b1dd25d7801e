//! What a worker is told to apply to itself, as plain data: `sandbox` of a fork in `PROTOCOL.md`.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::filter::{self, Given};
use crate::kernel::Kernel;
use crate::landlock::Ruleset;
use crate::real_path::real_path;
use crate::rules::{self, Disk, Places};
use crate::settings::{Network, Settings};

/// An order. Everything in it is applied, or the worker does not start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Order {
    /// Its home and place for temporary files; it exists.
    pub own: String,
    /// What may be read and written.
    pub landlock: Ruleset,
    /// A program for seccomp, as the kernel reads it.
    #[serde(serialize_with = "as_bytes")]
    pub filter: Vec<u8>,
    /// `setrlimit`: numbers of resources, each with its limit.
    pub limits: Limits,
    /// Whether there is a network, for what is said about a connection that was refused.
    pub network: bool,
    /// What may be read beyond what every program needs, for what is said about a file that was refused.
    pub readable: Vec<String>,
    /// What may be written, for the same.
    pub writable: Vec<String>,
    /// The directory that was asked for, and is not where it starts because its program may not read it; empty: it is.
    pub refused: String,
}

/// Limits of one process, which its children inherit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Files and connections.
    pub open_files: u64,
    /// Bytes of a file.
    pub file_bytes: u64,
    /// Processes and threads of the user, those of others included; root has none.
    pub processes: u64,
}

fn as_bytes<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

impl Order {
    /// For a worker in these places. `tasks` run on the machine by now.
    ///
    /// # Errors
    /// What the kernel lacks, one sentence a thing.
    pub fn new(settings: &Settings, places: &Places, kernel: &Kernel, tasks: u64) -> Result<Self, Vec<String>> {
        let missing = kernel.missing();
        let (Some(architecture), true) = (kernel.architecture, missing.is_empty()) else { return Err(missing) };
        let version = kernel.landlock_version();
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        let given = Given {
            network: settings.network,
            landlock: version,
            devices: places.writable.iter().any(|path| path.starts_with("/dev")),
        };
        let writable: Vec<String> = places.writable.iter().chain([&places.own]).map(text).collect();
        Ok(Self {
            own: text(&places.own),
            landlock: rules::ruleset(places, version, &Disk { entries: &entries, real: &real_path }),
            filter: filter::program(architecture, given),
            limits: Limits {
                open_files: u64::from(settings.open_files),
                file_bytes: settings.file_bytes,
                processes: tasks + u64::from(settings.processes),
            },
            network: settings.network == Network::All,
            readable: places.environment.iter().chain(&places.readable).map(text).chain(writable.clone()).collect(),
            writable,
            refused: String::new(),
        })
    }
}

/// What is in a directory, without links: what they lead to has rules of its own, if any. Nothing where it cannot be read.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<fs::DirEntry> = fs::read_dir(directory).into_iter().flatten().flatten().collect();
    found.retain(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink()));
    found.iter().map(fs::DirEntry::path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Architecture;

    fn kernel() -> Kernel {
        Kernel { landlock: Ok(7), notifies: Ok(()), fetches: Ok(()), architecture: Some(Architecture::X86_64) }
    }

    #[test]
    fn an_order_holds_all_that_is_to_be_applied() {
        let places = Places { own: "/own".into(), readable: vec!["/srv/app".into()], ..Places::default() };
        let order = Order::new(&Settings::default(), &places, &kernel(), 100).expect("all is there");
        assert_eq!(order.limits, Limits { open_files: 1024, file_bytes: 1 << 30, processes: 612 });
        assert!(order.landlock.rules.iter().any(|(path, _)| path == "/srv/app"), "{order:?}");
        assert_eq!((order.own.as_str(), order.network, order.filter.is_empty()), ("/own", true, false));
        assert_eq!(
            (order.readable, order.writable),
            (vec!["/srv/app".to_owned(), "/own".to_owned()], vec!["/own".to_owned()])
        );
    }

    #[test]
    fn who_may_write_a_device_may_ask_more_of_the_kernel() {
        let filter = |writable: &str| {
            let places = Places { own: "/own".into(), writable: vec![writable.into()], ..Places::default() };
            Order::new(&Settings::default(), &places, &kernel(), 0).expect("all is there").filter
        };
        assert_eq!(filter("/scratch"), filter("/device"));
        assert_ne!(filter("/scratch"), filter("/dev/nvidia0"));
    }

    #[test]
    fn without_the_kernels_help_there_is_no_order() {
        let without = Kernel { landlock: Err("Function not implemented".to_owned()), ..kernel() };
        let missing = Order::new(&Settings::default(), &Places::default(), &without, 0).expect_err("nothing holds it");
        assert!(missing.len() == 1 && missing[0].contains("Landlock (Function not implemented)"), "{missing:?}");
        let elsewhere = Kernel { architecture: None, ..kernel() };
        assert!(Order::new(&Settings::default(), &Places::default(), &elsewhere, 0).is_err());
    }

    #[test]
    fn a_directory_that_holds_something_hidden_is_listed_for_real() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().canonicalize().expect("real");
        for name in ["data", "lib"] {
            fs::create_dir(root.join(name)).expect("made");
        }
        for (name, leads_to) in [("to-data", root.join("data")), ("to-all", "/".into())] {
            std::os::unix::fs::symlink(leads_to, root.join(name)).expect("linked");
        }
        let places = Places {
            own: "/own".into(),
            readable: vec![root.clone()],
            hidden: vec![root.join("data")],
            ..Places::default()
        };
        let order = Order::new(&Settings::default(), &places, &kernel(), 0).expect("all is there");
        let rule = |name: &str| {
            let path = root.join(name).to_string_lossy().into_owned();
            order.landlock.rules.iter().find(|(rule, _)| *rule == path).map(|(_, rights)| *rights)
        };
        assert_eq!((rule("lib"), rule("data"), rule("")), (Some(0b1101), None, None));
        assert_eq!((rule("to-data"), rule("to-all")), (None, None), "a rule holds for where a link leads");
        let listed = order.landlock.rules.iter().find(|(path, _)| Path::new(path) == root).expect("a rule");
        assert_eq!(listed.1, 0b1000);
    }
}
