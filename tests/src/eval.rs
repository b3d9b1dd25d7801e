//! `dspex eval`, with what most tests evaluate already typed.

use std::ffi::OsStr;
use std::time::Duration;

use serde_json::Value;

use crate::command::{Dspex, Running};
use crate::output::Output;
use crate::project::Project;

/// `dspex eval program.py:program --devset data.jsonl --metric program.py:metric -o json` in a project's directory.
#[derive(Debug)]
pub struct Eval {
    command: Dspex,
    program: String,
    devset: String,
    metric: String,
    format: &'static str,
}

impl Eval {
    pub(crate) fn new(command: Dspex, project: &Project) -> Self {
        Self {
            command: command.directory(project.directory()).arg("eval"),
            program: "program.py:program".to_owned(),
            devset: "data.jsonl".to_owned(),
            metric: "program.py:metric".to_owned(),
            format: "json",
        }
    }

    /// Another PROGRAM.
    #[must_use]
    pub fn program(mut self, program: &str) -> Self {
        program.clone_into(&mut self.program);
        self
    }

    /// Another `--devset`.
    #[must_use]
    pub fn devset(mut self, devset: &str) -> Self {
        devset.clone_into(&mut self.devset);
        self
    }

    /// Another `--metric`.
    #[must_use]
    pub fn metric(mut self, metric: &str) -> Self {
        metric.clone_into(&mut self.metric);
        self
    }

    /// Another `-o`.
    #[must_use]
    pub fn format(mut self, format: &'static str) -> Self {
        self.format = format;
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command = self.command.args(arguments);
        self
    }

    /// A variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command = self.command.env(name, value);
        self
    }

    /// Without a variable that tests set.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.command = self.command.without(name);
        self
    }

    /// Another time limit.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.command = self.command.limit(limit);
        self
    }

    /// Starts it.
    #[track_caller]
    pub fn start(self) -> Running {
        self.complete().start()
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(self) -> Output {
        self.complete().run()
    }

    /// Runs it to its good end, and gives the object that it prints.
    #[track_caller]
    pub fn result(self) -> Value {
        self.run().expect(0).object()
    }

    fn complete(self) -> Dspex {
        // PROGRAM first: behind `--resume` it would be taken for the name of a run.
        let Self { command, program, devset, metric, format } = self;
        command.args(["--devset", &devset, "--metric", &metric, "-o", format, "--", &program])
    }
}
