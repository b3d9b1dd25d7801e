//! A node's worth of Python runtime in a temporary directory.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dspex_python::protocol::{FromWorker, Load, Number, PROTOCOL_VERSION, Ping, ToWorker};
use dspex_python::{Ended, Environment, Limits, Package, Registry, WorkerEvent, WorkerProcess, Zygote, Zygotes};

/// Long enough for a busy machine; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The interpreter that has dspy.
pub fn interpreter() -> PathBuf {
    let path = std::env::var_os("DSPEX_TEST_PYTHON").map(PathBuf::from).unwrap_or_else(|| {
        Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo")).join("../.venv/bin/python")
    });
    assert!(
        path.exists(),
        "{} is missing: run `make build`, or set DSPEX_TEST_PYTHON to a Python with dspy",
        path.display()
    );
    path
}

pub fn environment() -> Environment {
    std::env::vars().collect()
}

pub struct Runtime {
    pub zygotes: Zygotes,
    pub registry: Registry,
    pub directory: tempfile::TempDir,
}

impl Runtime {
    pub fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    pub fn with_limits(limits: Limits) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let (zygotes, registry) = open(directory.path(), limits);
        Self { zygotes, registry, directory }
    }

    pub async fn zygote(&self) -> Zygote {
        self.zygotes.zygote(&interpreter(), &environment()).await.expect("a zygote")
    }

    pub async fn worker(&self, id: &str) -> WorkerProcess {
        let zygote = self.zygote().await;
        zygote.fork(id, &environment(), self.directory.path(), "test").await.expect("a worker")
    }

    /// Writes a program file into the workers' directory.
    pub fn program(&self, source: &str) -> String {
        std::fs::write(self.directory.path().join("user_program.py"), source).expect("written");
        "user_program.py:program".to_owned()
    }
}

/// A runtime whose files live under a directory, as a node's do.
pub fn open(directory: &Path, limits: Limits) -> (Zygotes, Registry) {
    let package = Package::unpack(&directory.join("runtime")).expect("unpacked");
    let instance = format!("test-{}-{:?}", std::process::id(), Instant::now());
    let registry = Registry::open(&directory.join("processes"), &instance).expect("a registry");
    (Zygotes::new(package, registry.clone(), limits, None), registry)
}

/// A load of a program alone.
pub fn load(program: &str) -> Load {
    Load {
        threads: 1,
        program: program.to_owned(),
        metric: None,
        lm: None,
        lm_settings: Vec::new(),
        state: None,
        inputs: None,
        columns: None,
        dataset: None,
        limit: None,
        text_cells: false,
        failure_score: Number::Float(0.0),
        payload: None,
        root: None,
        path: None,
        protocol: PROTOCOL_VERSION,
    }
}

pub async fn send_load(worker: &WorkerProcess, load: Load) {
    worker.handle.send(&ToWorker::Load(Box::new(load))).await.expect("sent");
}

pub async fn next(worker: &mut WorkerProcess) -> WorkerEvent {
    let event = tokio::time::timeout(PATIENCE, worker.events.recv()).await.expect("an event in time");
    event.expect("an event before the end")
}

/// The next frame; an end fails the test with what was printed.
pub async fn next_frame(worker: &mut WorkerProcess) -> FromWorker {
    match next(worker).await {
        WorkerEvent::Frame(frame) => frame,
        WorkerEvent::Ended(ended) => panic!("{ended}; it printed: {}", worker.handle.output().text()),
    }
}

/// Skips frames up to the end, and checks that nothing follows it.
pub async fn end_of(worker: &mut WorkerProcess) -> Ended {
    loop {
        if let WorkerEvent::Ended(ended) = next(worker).await {
            let after = tokio::time::timeout(PATIENCE, worker.events.recv()).await.expect("closed in time");
            assert_eq!(after, None, "the end comes once and last");
            return ended;
        }
    }
}

/// The worker answers.
pub async fn ping(worker: &mut WorkerProcess) {
    worker.handle.send(&ToWorker::Ping(Ping { payload: "are you there".into() })).await.expect("sent");
    loop {
        if let FromWorker::Pong(pong) = next_frame(worker).await {
            assert_eq!(pong.payload, "are you there");
            return;
        }
    }
}

/// Waits until something holds.
pub async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
}
