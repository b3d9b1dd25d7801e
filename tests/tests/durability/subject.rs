//! What these tests evaluate: a program that writes down each execution, and how a disturbed run is judged.

use dspex_api::v1::RunStatus;
use dspex_tests::{Eval, Executions, Home, Project};
use serde_json::Value;

/// `PAUSE` seconds an example; its result is a function of the example, as the promise of equal digests asks.
const PROGRAM: &str = r#"
class Program(dspy.Module):
    def forward(self, n):
        count(n)
        time.sleep(float(os.environ.get("PAUSE", "0.05")))
        return dspy.Prediction(n=n, word=f"word {n}")

program = Program()

def metric(example, prediction):
    return example.n % 7 / 3
"#;

/// Threads of every run here.
pub const THREADS: u32 = 8;
/// What a death may repeat where examples take 50 ms: those in flight, and results on their way to the disk.
pub const REPEATED_SLOW: u32 = 2 * THREADS + 16;
/// What a death may repeat at the most: docs/explanation/durability.md.
pub const REPEATED_MOST: u32 = 2 * THREADS + 256;

/// A home, a project with so many examples, and the result that nothing disturbed.
pub struct Subject {
    pub home: Home,
    pub project: Project,
    pub examples: u32,
}

impl Subject {
    pub fn new(examples: u32) -> Self {
        let project = Project::new(PROGRAM);
        project.numbers(examples);
        Self { home: Home::new(), project, examples }
    }

    /// `dspex eval` of it.
    pub fn eval(&self) -> Eval {
        self.home.eval(&self.project).args(["--num-threads".to_owned(), THREADS.to_string()])
    }

    /// The same, quick.
    pub fn quick(&self) -> Eval {
        self.eval().env("PAUSE", "0")
    }

    /// The undisturbed result; the executions are counted from here on.
    pub fn undisturbed(&self) -> Value {
        let result = self.quick().result();
        let executions = self.project.executions();
        assert_eq!((executions.total(), executions.examples().len() as u32), (self.examples, self.examples));
        self.project.forget_executions();
        result
    }

    /// The disturbed run must have come to the same, with at most so many executions more than there are examples.
    #[track_caller]
    pub fn expect_same(&self, calm: &Value, disturbed: &Value, repeated_most: u32) {
        for key in ["score", "digest", "examples", "failed", "status", "label"] {
            assert_eq!(disturbed[key], calm[key], "{key}\n{calm}\n{disturbed}");
        }
        let executions = self.project.executions();
        assert_eq!(executions.examples().len() as u32, self.examples, "every example was executed");
        let repeated = executions.total() - self.examples;
        eprintln!("{repeated} executions more than examples");
        assert!(repeated <= repeated_most, "{repeated} examples were executed again; at most {repeated_most} may be");
    }

    /// The examples whose results are recorded in a run.
    pub fn recorded(&self, id: &str) -> Vec<u32> {
        let rows = self.home.dspex(&["run", "results", id, "-o", "jsonl"]).run().expect(0).objects();
        rows.iter().filter_map(|row| u32::try_from(row["index"].as_u64()?).ok()).collect()
    }

    /// What was recorded before the death must not have been executed after it.
    #[track_caller]
    pub fn expect_kept(&self, recorded: &[u32], before: &Executions) {
        let again = self.project.executions().since(before);
        let lost: Vec<u32> = recorded.iter().copied().filter(|&example| again.of(example) > 0).collect();
        assert!(lost.is_empty(), "these examples had a recorded result and were executed again: {lost:?}");
    }

    /// The newest run's status.
    pub fn status(&self) -> Option<RunStatus> {
        self.home.runs().first().map(dspex_api::v1::Run::status)
    }
}
