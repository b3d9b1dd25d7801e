//! The sandbox of a node's workers, as this room sees it: each worker gets a directory of its own and an order that says what it may
//! do; a worker that has not applied it is not used.
//!
//! What the order says is computed in `dspex-sandbox`. The embedded node has none: its workers are its callers' own.

mod confinement;
mod place;
mod watch;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dspex_sandbox::{Endpoints, Judge, Kernel, Order, OwnDirectories, Places, Settings, real_path};
use uuid::Uuid;

use crate::environment::Environment;
pub(crate) use confinement::{Confined, Confinement};
use place::Place;
use watch::Watch;

/// What a node is told of its sandbox.
#[derive(Clone, Debug, Default)]
pub struct SandboxSetup {
    /// What an operator sets.
    pub settings: Settings,
    /// Where workers get their own directories.
    pub directories: PathBuf,
    /// What no worker sees: the node's data, its settings, keys and tokens.
    pub hidden: Vec<PathBuf>,
    /// Directories of programs: a worker that starts in one of them, or below it, may read it.
    pub programs: Vec<PathBuf>,
    /// Where the node puts what callers ship, each in a directory of its own: a worker that starts there may read that one.
    pub shipped: Option<PathBuf>,
    /// Those that are started. What a zygote imports is not sandboxed: no caller chooses it.
    pub interpreters: Vec<PathBuf>,
    /// What zygotes are started with, whatever a caller's variables are.
    pub environment: Environment,
    /// The node's own ports.
    pub endpoints: Endpoints,
}

/// The sandbox of a node's workers.
#[derive(Debug)]
pub struct Sandbox {
    setup: SandboxSetup,
    kernel: Kernel,
    directories: OwnDirectories,
    watch: Watch,
}

impl Sandbox {
    /// Makes the place for the directories of workers, and removes what an earlier node left there. Within a runtime: it looks
    /// after disks from here on.
    ///
    /// # Errors
    /// When the place cannot be made.
    pub fn start(setup: SandboxSetup, kernel: Kernel) -> io::Result<Arc<Self>> {
        let directories = OwnDirectories::open(&setup.directories)?;
        let watch = Watch::start(directories.root(), setup.settings.disk_bytes);
        Ok(Arc::new(Self { setup, kernel, directories, watch }))
    }

    /// Why an interpreter is not started; nothing: it is.
    pub(crate) fn refuses_interpreter(&self, asked: &Path) -> Option<String> {
        let known = &self.setup.interpreters;
        if known.iter().any(|known| is_same(known, asked)) {
            return None;
        }
        let known: Vec<String> = known.iter().map(|path| path.display().to_string()).collect();
        Some(format!(
            "{} is not an interpreter of this node, which starts only those that its file names (python.interpreter, \
             environments.*.python, pools.*.python): {}",
            asked.display(),
            known.join(", ")
        ))
    }

    /// What zygotes are started with.
    pub(crate) fn environment(&self) -> &Environment {
        &self.setup.environment
    }

    /// A directory and an order for a worker. `libraries` are those of its zygote.
    pub(crate) fn confine(self: &Arc<Self>, asked: &Path, libraries: &[String]) -> Result<Confinement, ConfineError> {
        // Nobody guesses it: whoever knows another's name may ask whether it has a file. Short: the path of a Unix socket in it may
        // have 107 bytes.
        let own = self.directories.make(&Uuid::new_v4().simple().to_string())?;
        // Where links lead changes while a node runs: a key that is renewed lies elsewhere then.
        let setup = real(&self.setup, self.directories.root());
        let place = Place::of(asked, &setup);
        let libraries = libraries.iter().map(|path| real_path(Path::new(path))).filter(|path| is_library(path));
        let places = Places {
            environment: libraries.chain(place.shipped).collect(),
            readable: place.readable,
            writable: setup.settings.writable.clone(),
            own: own.path().to_owned(),
            hidden: setup.hidden,
        };
        let order = Order::new(&setup.settings, &places, &self.kernel, watch::tasks());
        let mut order = order.map_err(|missing| ConfineError::Missing(missing.join("; and ")))?;
        order.refused = place.refused;
        let roots = places.writable.into_iter().chain([places.own]).collect();
        Ok(Confinement {
            sandbox: Arc::clone(self),
            directory: place.directory.unwrap_or_else(|| own.path().to_owned()),
            judge: Judge { endpoints: self.setup.endpoints.clone(), roots },
            own,
            order,
        })
    }
}

/// Why there is no order for a worker.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfineError {
    /// The kernel lacks something.
    #[error("this node's workers are to be sandboxed, and its machine lacks {0}")]
    Missing(String),
    /// No directory could be made.
    #[error("the worker's own directory: {0}")]
    Directory(#[from] io::Error),
}

/// No interpreter lies in all of the machine, or in what the kernel shows of it.
fn is_library(path: &Path) -> bool {
    path != "/" && !["/dev", "/proc", "/sys"].iter().any(|root| path.starts_with(root))
}

/// With real paths, so that one can be seen to lie in another.
fn real(setup: &SandboxSetup, directories: &Path) -> SandboxSetup {
    let each = |paths: &[PathBuf]| paths.iter().map(|path| real_path(path)).collect::<Vec<_>>();
    let mut hidden = each(&setup.hidden);
    hidden.push(directories.to_owned());
    let settings = Settings {
        readable: each(&setup.settings.readable),
        writable: each(&setup.settings.writable),
        ..setup.settings.clone()
    };
    SandboxSetup {
        settings,
        hidden,
        programs: each(&setup.programs),
        shipped: setup.shipped.as_deref().map(real_path),
        ..setup.clone()
    }
}

/// The same program in the same environment: a virtual environment is known by the directory of its link.
fn is_same(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| path.parent().map(real_path);
    one == other || (place(one) == place(other) && real_path(one) == real_path(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(directory: &Path) -> SandboxSetup {
        SandboxSetup { directories: directory.join("workers"), ..SandboxSetup::default() }
    }

    #[tokio::test]
    async fn a_machine_that_lacks_something_gives_no_worker_an_order_and_names_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let kernel = Kernel { landlock: Err("Function not implemented".to_owned()), ..Kernel::gather() };
        let sandbox = Sandbox::start(setup(directory.path()), kernel).expect("made");
        let refused = sandbox.confine(Path::new("/"), &[]).expect_err("no order");
        assert!(matches!(refused, ConfineError::Missing(why) if why.contains("Landlock (Function not implemented)")));
    }

    #[test]
    fn what_an_interpreter_says_of_itself_opens_neither_the_machine_nor_its_devices() {
        for path in ["/usr/lib/python3.11", "/opt/venv", "/devices/python"] {
            assert!(is_library(Path::new(path)), "{path}");
        }
        for path in ["/", "/dev", "/dev/shm", "/proc/1", "/sys/fs"] {
            assert!(!is_library(Path::new(path)), "{path}");
        }
    }

    #[tokio::test]
    async fn only_interpreters_of_the_node_are_started() {
        let directory = tempfile::tempdir().expect("a directory");
        let bin = directory.path().join("venv/bin");
        std::fs::create_dir_all(&bin).expect("made");
        std::fs::create_dir_all(directory.path().join("other/bin")).expect("made");
        std::fs::write(bin.join("python3.11"), "").expect("written");
        for link in [bin.join("python"), directory.path().join("other/bin/python")] {
            std::os::unix::fs::symlink(bin.join("python3.11"), link).expect("linked");
        }
        let setup = SandboxSetup { interpreters: vec![bin.join("python")], ..setup(directory.path()) };
        let sandbox = Sandbox::start(setup, Kernel::gather()).expect("made");
        assert_eq!(sandbox.refuses_interpreter(&bin.join("python")), None);
        assert_eq!(sandbox.refuses_interpreter(&bin.join("python3.11")), None, "another name of the same");
        assert_eq!(sandbox.refuses_interpreter(&bin.join("../bin/python")), None);
        let other = directory.path().join("other/bin/python");
        let refused = sandbox.refuses_interpreter(&other).expect("another environment");
        assert!(refused.contains("other/bin/python is not") && refused.contains("venv/bin/python"), "{refused}");
        assert!(sandbox.refuses_interpreter(Path::new("/nonexistent/python")).is_some());
    }
}
