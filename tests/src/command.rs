//! A command of the program, as a child process with a time limit.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::output::Output;
use crate::places;
use crate::process;
use crate::waiting::holds_within;

/// Long enough for a machine that builds something else at the same time.
const LIMIT: Duration = Duration::from_secs(120);
/// Between the end of a process and the end of its output.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// What a child process needs of this one's environment.
const INHERITED: &[&str] = &["PATH", "HOME", "USER", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "TERM"];

/// A command, not yet started.
#[derive(Debug)]
pub struct Dspex {
    command: Command,
    limit: Duration,
}

impl Dspex {
    /// A program with this home and the interpreter for tests, and nothing else of this environment.
    pub(crate) fn of(program: &Path, home: &Path, cache: &Path) -> Self {
        let mut command = Command::new(program);
        command.env_clear();
        for name in INHERITED {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .env("DSPEX_HOME", home)
            .env("DSPEX_PYTHON", places::interpreter())
            .env("DSPY_CACHEDIR", cache)
            .current_dir(cache)
            .stdin(Stdio::null());
        Self { command, limit: LIMIT }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Leaves a variable out.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Runs in this directory.
    #[must_use]
    pub fn directory(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// The environment that it will have.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let text = |text: &OsStr| text.to_string_lossy().into_owned();
        self.command.get_envs().filter_map(|(name, value)| Some((text(name), text(value?)))).collect()
    }

    /// Another time limit.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it takes longer than its limit.
    #[track_caller]
    pub fn run(self) -> Output {
        self.start().finish()
    }

    /// Starts it, in a process group of its own: a signal for it reaches nobody else.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn start(mut self) -> Running {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let shown = shown(&self.command);
        let started = Instant::now();
        let mut child = self.command.spawn().unwrap_or_else(|error| panic!("$ {shown}\n{error}"));
        let stdout = Collector::of(child.stdout.take().expect("a pipe"));
        let stderr = Collector::of(child.stderr.take().expect("a pipe"));
        Running { child, stdout, stderr, shown, started, limit: self.limit }
    }
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// A command under way. It is killed when it is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: Collector,
    stderr: Collector,
    shown: String,
    started: Instant,
    limit: Duration,
}

impl Running {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it has said so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.status().is_none()
    }

    /// Ctrl-C.
    pub fn interrupt(&self) {
        process::interrupt(self.pid());
    }

    /// kill -9, and what it had printed.
    #[track_caller]
    pub fn kill(self) -> Output {
        process::kill(self.pid());
        self.finish()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it takes longer than its limit.
    #[track_caller]
    pub fn finish(mut self) -> Output {
        let left = self.limit.saturating_sub(self.started.elapsed());
        let ended = holds_within(left, || self.status().is_some());
        if !ended {
            process::kill(self.pid());
            let _ = self.child.wait();
        }
        let took = self.started.elapsed();
        let code = self.status().and_then(|status| status.code());
        let drained = holds_within(DRAIN_LIMIT, || self.stdout.is_done() && self.stderr.is_done());
        let output =
            Output { command: self.shown.clone(), code, stdout: self.stdout.text(), stderr: self.stderr.text(), took };
        assert!(ended, "it did not end within {} s\n{}", self.limit.as_secs(), output.describe());
        assert!(drained, "something keeps its output open beyond its end\n{}", output.describe());
        output
    }

    fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.runs() {
            process::kill(self.pid());
            let _ = self.child.wait();
        }
    }
}

/// Reads a pipe in a thread, so that a child never waits for its reader.
#[derive(Debug)]
struct Collector {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: JoinHandle<()>,
}

impl Collector {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&bytes);
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                shared.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..count]);
            }
        });
        Self { bytes, thread }
    }

    fn is_done(&self) -> bool {
        self.thread.is_finished()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}
