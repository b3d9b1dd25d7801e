//! The score, the scores of the examples, rounding, failures: compared with `dspy.Evaluate` in the same interpreter.

use dspex_tests::{Case, Home, Project, Reference, dspy_evaluate, expect_fields};
use serde_json::{Value, json};

const PROGRAM: &str = r#"
import numpy

class Echo(dspy.Module):
    def forward(self, n):
        return dspy.Prediction(n=n, half=n / 2)

class Failing(dspy.Module):
    def forward(self, n):
        if n % 4 == 1:
            raise ValueError(f"{n} is bad")
        return dspy.Prediction(n=n)

class Judge(dspy.Module):
    def forward(self, example, prediction):
        return dspy.Prediction(score=example.n % 3 / 3, feedback="so so")

program = Echo()
failing = Failing()
judge = Judge()

def boolean(example, prediction):
    return example.n % 3 == 0

def integer(example, prediction):
    return example.n % 7

def negative(example, prediction):
    return -example.n

def thirds(example, prediction):
    return example.n % 4 / 3

def tenths(example, prediction):
    return 0.1

def cancelling(example, prediction):
    return [1e16, 1.0, -1e16][example.n % 3]

def half_cent(example, prediction):
    return 0.00125 if example.n % 2 else 0.00375

def scored(example, prediction):
    return dspy.Prediction(score=example.n % 4 / 3)

def mixed(example, prediction):
    return [True, 2, 1 / 3, dspy.Prediction(score=0.7), 0.1][example.n % 5]

def double(example, prediction):
    return numpy.float64(example.n % 4 / 3)

def raising(example, prediction):
    if example.n % 6 == 0:
        raise KeyError("no such thing")
    return 1

def traced(example, prediction, trace="not given"):
    return 1 if trace == "not given" else 0
"#;

/// 47 examples: hardly a sum of thirds or tenths comes out even.
const EXAMPLES: u32 = 47;

#[test]
fn every_kind_of_score_adds_up_as_in_dspy() {
    let project = Project::new(PROGRAM);
    project.numbers(EXAMPLES);
    let metrics = [
        "boolean",
        "integer",
        "negative",
        "thirds",
        "tenths",
        "cancelling",
        "half_cent",
        "scored",
        "mixed",
        "double",
        "judge",
        "traced",
    ];
    check(&project, &metrics.map(|metric| Case::new("program", metric)));
}

#[test]
fn failed_examples_count_as_in_dspy() {
    let project = Project::new(PROGRAM);
    project.numbers(EXAMPLES);
    check(
        &project,
        &[
            Case::new("failing", "boolean").with("max_errors", 100),
            Case::new("failing", "thirds").with("max_errors", 100).with("failure_score", -1),
            Case::new("failing", "integer").with("max_errors", 100).with("failure_score", 0.1),
            Case::new("program", "raising").with("max_errors", 100),
            Case::new("program", "raising").with("max_errors", 100).with("failure_score", 1.5),
            Case::new("failing", "raising").with("max_errors", 100).with("failure_score", -0.25),
        ],
    );
}

#[test]
fn threads_and_workers_change_neither_score_nor_digest() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(EXAMPLES);
    let eval = |threads: &str, workers: &str| {
        home.eval(&project).metric("program.py:mixed").args(["--num-threads", threads, "--workers", workers]).result()
    };
    let one = eval("1", "1");
    assert!(one["digest"].as_str().is_some_and(|digest| digest.len() == 64), "{one}");
    for (threads, workers) in [("1", "3"), ("16", "1"), ("7", "4")] {
        let other = eval(threads, workers);
        expect_fields(&other, json!({"score": one["score"], "digest": one["digest"]}));
    }
}

#[test]
fn another_program_or_metric_has_another_digest() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(EXAMPLES);
    let digest = |program: &str, metric: &str| {
        let eval = home.eval(&project).program(program).metric(metric).args(["--max-errors", "100"]);
        eval.result()["digest"].clone()
    };
    let digests = [
        digest("program.py:program", "program.py:boolean"),
        digest("program.py:program", "program.py:integer"),
        digest("program.py:failing", "program.py:boolean"),
    ];
    assert!(digests[0] != digests[1] && digests[0] != digests[2] && digests[1] != digests[2], "{digests:?}");
}

/// Evaluates each case with dspy and with DSPex.
#[track_caller]
fn check(project: &Project, cases: &[Case]) {
    let home = Home::new();
    let mut wrong = Vec::new();
    for (case, expected) in cases.iter().zip(dspy_evaluate(project, cases)) {
        let found = evaluated(&home, project, case);
        if !same(&found, &expected) {
            wrong.push(format!(
                "{} {} {}\n  dspy  {expected:?}\n  dspex {found:?}",
                case.program, case.metric, case.arguments
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn evaluated(home: &Home, project: &Project, case: &Case) -> Reference {
    let mut eval = home.eval(project).program(&case.program).metric(&case.metric);
    for (name, option) in [("max_errors", "--max-errors"), ("failure_score", "--failure-score")] {
        if let Some(value) = case.arguments.get(name) {
            eval = eval.args([format!("{option}={value}")]);
        }
    }
    let result = eval.result();
    let id = result["run_id"].as_str().expect("an id");
    let rows = home.dspex(&["run", "results", id, "-o", "jsonl"]).run().expect(0).objects();
    Reference {
        score: result["score"].as_f64(),
        scores: rows.iter().map(|row| row["score"].clone()).collect(),
        error: None,
    }
}

/// Scores are compared as numbers: True is 1, as in a sum.
fn same(found: &Reference, expected: &Reference) -> bool {
    let number =
        |value: &Value| value.as_bool().map_or_else(|| value.as_f64(), |truth| Some(f64::from(u8::from(truth))));
    let numbers = |reference: &Reference| reference.scores.iter().map(number).collect::<Vec<_>>();
    found.score == expected.score && found.error == expected.error && numbers(found) == numbers(expected)
}
