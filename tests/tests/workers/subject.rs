//! A program whose examples do what their field `act` says, and how the results of such a run are judged.

use std::collections::BTreeMap;

use dspex_tests::{Eval, Home, Output, Project};
use serde_json::{Value, json};

/// The acts that more than one test needs; a test adds its own as functions.
const PROGRAM: &str = r#"
import ctypes, signal, subprocess, threading

def die(n):
    os._exit(3)

def hang(n):
    time.sleep(3600)

class Program(dspy.Module):
    def forward(self, n, act):
        count(n)
        if act != "work":
            globals()[act](n)
        time.sleep(float(os.environ.get("PAUSE", "0.002")))
        return dspy.Prediction(n=n)

program = Program()

def metric(example, prediction):
    return 1
"#;

/// A home and a project whose examples act.
pub struct Subject {
    pub home: Home,
    pub project: Project,
}

impl Subject {
    /// So many examples that just work, but for those named; `functions` are further acts.
    pub fn new(examples: u32, acts: &[(u32, &str)], functions: &str) -> Self {
        let subject = Self { home: Home::new(), project: Project::new(&format!("{PROGRAM}\n{functions}")) };
        subject.acts(examples, acts);
        subject
    }

    /// Other examples for the same program.
    pub fn acts(&self, examples: u32, acts: &[(u32, &str)]) {
        let acts: BTreeMap<u32, &str> = acts.iter().copied().collect();
        let row = |n: u32| json!({"n": n, "act": acts.get(&n).unwrap_or(&"work")});
        self.project.rows("data.jsonl", (0..examples).map(row));
        self.project.forget_executions();
    }

    /// `dspex eval` of it, with two workers of two threads.
    pub fn eval(&self) -> Eval {
        self.home.eval(&self.project).args(["--num-threads", "4", "--workers", "2"])
    }

    /// The newest run's results by example.
    pub fn results(&self) -> BTreeMap<u32, Value> {
        let run = self.home.runs().remove(0);
        let rows = self.home.dspex(&["run", "results", &run.run_id, "-o", "jsonl"]).run().expect(0).objects();
        rows.into_iter().filter_map(|row| Some((u32::try_from(row["index"].as_u64()?).ok()?, row))).collect()
    }

    /// Exactly these examples failed, each with this class of failure; all others have their score.
    #[track_caller]
    pub fn expect_failures(&self, output: &Output, expected: &[(u32, &str)]) -> BTreeMap<u32, Value> {
        let results = self.results();
        let failed: Vec<(u32, &str)> = results
            .iter()
            .filter(|(_, row)| !row["failure"].is_null())
            .map(|(&index, row)| (index, row["failure"]["type"].as_str().unwrap_or_default()))
            .collect();
        assert_eq!(failed, expected, "{}", output.describe());
        let done = output.object()["examples"].as_u64().expect("a number") as usize;
        assert_eq!(results.len(), done, "every example has a result");
        results
    }
}
