//! A temporary directory with a program and its data, as a person would have it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::executions::Executions;
use crate::places;

/// The file in which programs of these suites count their executions.
const EXECUTIONS_FILE: &str = "executions.log";

/// Python that every `program.py` begins with: `count(n)` writes down that example `n` is executed.
const PREAMBLE: &str = r#"import os, sys, time
import dspy

def count(number):
    with open("executions.log", "a") as log:
        log.write(f"{number}\n")

"#;

/// A directory with files.
#[derive(Debug)]
pub struct Project {
    directory: TempDir,
}

impl Project {
    /// An empty one.
    ///
    /// # Panics
    /// When no directory can be made.
    pub fn empty() -> Self {
        let directory = tempfile::Builder::new().prefix("dspex-project-").tempdir_in(places::projects());
        Self { directory: directory.expect("a temporary directory") }
    }

    /// One with `program.py`: the text given, after imports and `count(n)`.
    pub fn new(program: &str) -> Self {
        let project = Self::empty();
        project.program(program);
        project
    }

    /// Replaces `program.py`.
    pub fn program(&self, text: &str) -> &Self {
        self.file("program.py", format!("{PREAMBLE}{text}"))
    }

    /// Writes a file, and the directories above it.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).expect("a directory");
        }
        fs::write(path, contents).expect("a file");
        self
    }

    /// Writes a file that can be executed.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn executable(&self, name: &str, text: &str) -> &Self {
        self.file(name, text);
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).expect("a mode");
        self
    }

    /// Writes JSON Lines.
    pub fn rows(&self, name: &str, rows: impl IntoIterator<Item = Value>) -> &Self {
        let lines: String = rows.into_iter().map(|row| format!("{row}\n")).collect();
        self.file(name, &lines)
    }

    /// Writes `data.jsonl` with the examples `{"n": 0}` to `{"n": count - 1}`.
    pub fn numbers(&self, count: u32) -> &Self {
        self.rows("data.jsonl", (0..count).map(|n| json!({"n": n})))
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A file's text; empty while there is no such file.
    pub fn read(&self, name: &str) -> String {
        fs::read(self.path(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// What the programs have counted.
    pub fn executions(&self) -> Executions {
        Executions::parse(&self.read(EXECUTIONS_FILE))
    }

    /// Starts the count anew.
    pub fn forget_executions(&self) {
        let _ = fs::remove_file(self.path(EXECUTIONS_FILE));
    }
}
