//! A home and a project whose functions are called.

use std::path::PathBuf;

use dspex_api::v1::{CallPoolRequest, Caller, OpenPoolRequest};
use dspex_tests::Dspex;
use dspex_tests::Home;
use dspex_tests::Project;
use dspex_tests::places;
use serde_json::Value;

/// A project with `program.py`, and the home that its calls go to.
pub struct Subject {
    pub home: Home,
    pub project: Project,
}

impl Subject {
    pub fn new(program: &str) -> Self {
        Self { home: Home::new(), project: Project::new(program) }
    }

    /// With `dspex.toml` in the home.
    pub fn with_settings(program: &str, settings: &str) -> Self {
        let subject = Self::new(program);
        std::fs::create_dir(subject.home.path()).expect("a directory");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(subject.home.path(), mode).expect("a mode");
        std::fs::write(subject.home.path().join("dspex.toml"), settings).expect("a file");
        subject
    }

    /// `dspex ...` in the project.
    pub fn dspex(&self, arguments: &[&str]) -> Dspex {
        self.home.dspex(arguments).directory(self.project.directory())
    }

    /// `dspex pool call general ...`.
    pub fn call(&self, arguments: &[&str]) -> Dspex {
        self.dspex(&["pool", "call", "general"]).args(arguments).arg("-o").arg("json")
    }

    /// The result of a call that must succeed.
    #[track_caller]
    pub fn answer(&self, arguments: &[&str]) -> Value {
        self.call(arguments).run().expect(0).object()
    }

    /// The statistics of the only pool.
    #[track_caller]
    pub fn stats(&self) -> Value {
        let listed = self.dspex(&["pool", "stats", "-o", "json"]).run().expect(0).object();
        assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
        listed["items"][0].clone()
    }

    /// The workers that are not yet gone.
    #[track_caller]
    pub fn workers(&self) -> Vec<Value> {
        let listed = self.dspex(&["worker", "-o", "json"]).run().expect(0).object();
        listed["items"].as_array().cloned().expect("items")
    }

    pub fn open(&self) -> OpenPoolRequest {
        OpenPoolRequest {
            pool: "general".to_owned(),
            caller: Some(Caller {
                directory: self.project.directory().display().to_string(),
                // The same as that of commands, so that both have one pool.
                environment: self.dspex(&[]).environment(),
                interpreter: interpreter().display().to_string(),
                interpreter_reason: "test".to_owned(),
            }),
        }
    }
}

pub fn interpreter() -> PathBuf {
    places::interpreter()
}

/// A call of a stream.
pub fn request(pool_id: &str, id: u64, command: &str, arguments: &str) -> CallPoolRequest {
    CallPoolRequest {
        pool_id: pool_id.to_owned(),
        command: command.to_owned(),
        arguments: arguments.as_bytes().to_vec().into(),
        id,
        ..CallPoolRequest::default()
    }
}
