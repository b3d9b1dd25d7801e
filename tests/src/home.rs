//! A home directory of its own for each test, and the node in it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::command::Dspex;
use crate::eval::Eval;
use crate::places;
use crate::process;
use crate::project::Project;

const END_LIMIT: Duration = Duration::from_secs(10);

/// A `DSPEX_HOME` that nobody else uses. Its node ends with it.
#[derive(Debug)]
pub struct Home {
    directory: TempDir,
    path: PathBuf,
}

impl Home {
    /// One that does not exist yet, as for a new user.
    ///
    /// # Panics
    /// When no temporary directory can be made.
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("dspex-test-").tempdir().expect("a temporary directory");
        let path = directory.path().join("home");
        Self::in_directory(directory, path)
    }

    /// One below another directory, for instance on a file system of its own.
    ///
    /// # Panics
    /// When no temporary directory can be made.
    pub fn below(parent: &Path) -> Self {
        let directory = tempfile::Builder::new().prefix("dspex-test-").tempdir().expect("a temporary directory");
        Self::in_directory(directory, parent.join("home"))
    }

    fn in_directory(directory: TempDir, path: PathBuf) -> Self {
        std::fs::create_dir(directory.path().join("cache")).expect("a directory");
        Self { directory, path }
    }

    /// The home directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The data directory of its node.
    pub fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// What its node has written to its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path.join("node.log")).unwrap_or_default()
    }

    /// A command in this home.
    pub fn dspex(&self, arguments: &[&str]) -> Dspex {
        self.dspex_of(&places::program(), arguments)
    }

    /// A command of the program at another path.
    pub fn dspex_of(&self, program: &Path, arguments: &[&str]) -> Dspex {
        Dspex::of(program, &self.path, &self.directory.path().join("cache")).args(arguments)
    }

    /// `dspex eval` in this home, for a project.
    pub fn eval(&self, project: &Project) -> Eval {
        Eval::new(self.dspex(&[]), project)
    }

    /// The same with the program at another path, for instance a link to it.
    pub fn eval_with(&self, program: &Path, project: &Project) -> Eval {
        Eval::new(self.dspex_of(program, &[]), project)
    }

    /// Every running process that belongs to this home: its node, zygotes, workers, and what these forked.
    pub fn processes(&self) -> Vec<u32> {
        let own = std::process::id();
        process::started_with(&self.path).into_iter().filter(|&pid| pid != own).collect()
    }

    /// The nodes among them: one, unless something is wrong.
    pub fn nodes(&self) -> Vec<u32> {
        let is_node = |pid: &u32| process::command_line(*pid).contains(" node --home");
        self.processes().into_iter().filter(is_node).collect()
    }

    /// The Python processes among them.
    pub fn python_processes(&self) -> Vec<u32> {
        let nodes = self.nodes();
        self.processes().into_iter().filter(|pid| !nodes.contains(pid)).collect()
    }
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the end of {}/node.log", self.path.display());
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            lines[lines.len().saturating_sub(30)..].iter().for_each(|line| eprintln!("{line}"));
        }
        // The kernel and the zygotes end the rest.
        for pid in self.nodes() {
            process::kill(pid);
            process::ends_within(pid, END_LIMIT);
        }
        for pid in self.processes() {
            if !process::ends_within(pid, END_LIMIT) {
                process::kill(pid);
            }
        }
    }
}
