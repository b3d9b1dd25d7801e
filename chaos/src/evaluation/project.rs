//! What is evaluated: a program whose answers are functions of its examples, and which writes down what it executes.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::account::Execution;
use crate::cluster::ClusterError;

const PROGRAM: &str = r#"import os
import time

import dspy

EXECUTIONS = @EXECUTIONS@


class Program(dspy.Module):
    def forward(self, n):
        number = int(n)
        began(number)
        time.sleep((20 + number * 7919 % 61) / 1000)
        if number % 13 == 5:
            raise ValueError(f"no answer for {number}")
        return dspy.Prediction(square=number * number % 1009, text=f"{number} and {number % 17}")


def began(number):
    # One write to the end of the file: lines of several processes do not mix.
    descriptor = os.open(EXECUTIONS, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, f"{number % 100000} {time.time_ns()} {os.getpid()}\n".encode())
    finally:
        os.close(descriptor)


def metric(example, prediction):
    return prediction.square % 11 / 10


program = Program()
"#;

/// What an example takes on the average, in milliseconds.
const TYPICAL_MS: u64 = 50;

/// A directory with a program and its examples.
#[derive(Debug)]
pub(super) struct Project {
    directory: PathBuf,
    callers: PathBuf,
    executions: PathBuf,
    threads: usize,
    pub(super) examples: u32,
}

impl Project {
    /// Below a directory of a cluster. `scratch` is where code on every node may write. The seed is in the examples.
    pub(super) fn new(place: &Path, scratch: &Path, subject: &Subject) -> Result<Self, ClusterError> {
        // All of the first goes to the nodes.
        let (directory, callers) = (place.join("project"), place.join("caller"));
        let write = |path: PathBuf, contents: String| fs::write(&path, contents).map_err(ClusterError::at(&path));
        for made in [&directory, &callers.join("home"), &callers.join("cache")] {
            fs::create_dir_all(made).map_err(ClusterError::at(made))?;
        }
        let executions = scratch.join("executions");
        let made = File::create(&executions);
        // Whoever the nodes let their workers be.
        made.and_then(|file| file.set_permissions(PermissionsExt::from_mode(0o666)))
            .map_err(ClusterError::at(&executions))?;
        let named = serde_json::Value::from(executions.display().to_string()).to_string();
        write(directory.join("program.py"), PROGRAM.replace("@EXECUTIONS@", &named))?;
        let Subject { seed, examples, threads } = *subject;
        // The index of an example is what is left of its number: see `began`.
        let first = 100_000 * (seed % 10_000);
        let rows = (0..u64::from(examples)).map(|index| format!("{{\"n\": {}}}\n", first + index));
        write(directory.join("data.jsonl"), rows.collect())?;
        Ok(Self { directory, callers, executions, threads, examples })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// What the caller's own files are in.
    pub(super) fn callers(&self) -> &Path {
        &self.callers
    }

    /// What its program has begun so far.
    pub(super) fn executions(&self) -> Result<Vec<Execution>, ClusterError> {
        let text = fs::read_to_string(&self.executions).map_err(ClusterError::at(&self.executions))?;
        Ok(Execution::parse(&text))
    }

    /// The words behind `dspex`. Deaths of workers are our doing here, so none is charged to an example.
    pub(super) fn eval(&self, workers: usize) -> Vec<String> {
        let (threads, workers) = (self.threads.to_string(), workers.to_string());
        let words = [
            "eval",
            "program.py:program",
            "--devset",
            "data.jsonl",
            "--metric",
            "program.py:metric",
            "--inputs",
            "n",
            "--num-threads",
            &threads,
            "--workers",
            &workers,
            "--max-errors",
            "1000000",
            "--retries",
            "100",
            "--detach",
            "-o",
            "json",
        ];
        words.map(str::to_owned).to_vec()
    }
}

/// What is to be evaluated; the same examples for the same values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    pub(super) seed: u64,
    pub(super) examples: u32,
    pub(super) threads: usize,
}

impl Subject {
    /// A few hundred examples, or more where threads would not be busy with them for so many seconds.
    pub(super) fn new(seed: u64, nodes: usize, seconds: u64) -> Self {
        let threads = (2 * nodes).clamp(3, 8);
        let busy = threads as u64 * seconds.saturating_mul(1000) / TYPICAL_MS;
        Self { seed, threads, examples: u32::try_from(busy.clamp(300, 5_000)).unwrap_or(300) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_has_its_examples_and_says_where_its_executions_are_counted() {
        let place = tempfile::tempdir().expect("a directory");
        let subject = Subject { seed: 7, examples: 3, threads: 2 };
        let project = Project::new(place.path(), place.path(), &subject).expect("written");
        let read = |name: &str| fs::read_to_string(project.directory().join(name)).expect("readable");
        assert_eq!(read("data.jsonl"), "{\"n\": 700000}\n{\"n\": 700001}\n{\"n\": 700002}\n");
        let named = format!("EXECUTIONS = \"{}\"", place.path().join("executions").display());
        assert!(read("program.py").contains(&named), "{}", read("program.py"));
        assert_eq!(project.executions().expect("readable"), []);
        assert!(project.eval(3).windows(2).any(|pair| pair == ["--workers", "3"]));
    }

    #[test]
    fn a_longer_run_has_more_examples_within_bounds() {
        assert_eq!(Subject::new(1, 3, 0).examples, 300);
        assert_eq!((Subject::new(1, 3, 10).examples, Subject::new(1, 3, 10).threads), (1200, 6));
        assert_eq!((Subject::new(1, 8, 3600).examples, Subject::new(1, 1, 5).threads), (5_000, 3));
    }
}
