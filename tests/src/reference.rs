//! `dspy.Evaluate` in the same interpreter: what every score is compared with.

use serde_json::{Value, json};

use crate::project::Project;
use crate::python::python;

const SCRIPT: &str = r#"
import importlib.util, json, logging, os, sys
import dspy
logging.disable(logging.CRITICAL)
sys.path.insert(0, os.getcwd())
modules = {}

def named(reference):
    path, _, name = reference.rpartition(":")
    if path not in modules:
        spec = importlib.util.spec_from_file_location(path.removesuffix(".py"), path)
        modules[path] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(modules[path])
    return getattr(modules[path], name)

def number(score):
    return score if isinstance(score, (bool, int, float)) else float(score)

answers = []
for case in json.loads(sys.argv[1]):
    with open(case["devset"]) as lines:
        devset = [dspy.Example(json.loads(line)).with_inputs(*case["inputs"]) for line in lines]
    try:
        evaluate = dspy.Evaluate(devset=devset, metric=named(case["metric"]), provide_traceback=False, **case["arguments"])
        result = evaluate(named(case["program"]))
    except Exception as error:
        answers.append({"error": str(error)})
    else:
        answers.append({"score": float(result.score), "scores": [number(score) for _, _, score in result.results]})
print(json.dumps(answers))
"#;

/// One evaluation for dspy.
#[derive(Debug, Clone)]
pub struct Case {
    /// "program.py:name".
    pub program: String,
    /// "program.py:name".
    pub metric: String,
    /// Keyword arguments of `dspy.Evaluate`.
    pub arguments: Value,
}

impl Case {
    /// A program and a metric of `program.py`.
    pub fn new(program: &str, metric: &str) -> Self {
        Self {
            program: format!("program.py:{program}"),
            metric: format!("program.py:{metric}"),
            arguments: json!({"num_threads": 1}),
        }
    }

    /// An argument of `dspy.Evaluate`.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.arguments[name] = value.into();
        self
    }
}

/// What dspy makes of a case.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// Percent, two decimals; nothing when it raised.
    pub score: Option<f64>,
    /// In example order.
    pub scores: Vec<Value>,
    /// The message of what it raised.
    pub error: Option<String>,
}

/// Evaluates the cases on `data.jsonl` with the input `n`, all in one interpreter.
///
/// # Panics
/// When the interpreter cannot do it.
#[track_caller]
pub fn dspy_evaluate(project: &Project, cases: &[Case]) -> Vec<Reference> {
    let cases: Vec<Value> = cases.iter().map(described).collect();
    let answers = python(project, SCRIPT, &[&Value::from(cases).to_string()]).expect(0);
    let last = answers.stdout.lines().last().unwrap_or_default();
    let answers: Vec<Value> = serde_json::from_str(last).expect("the script prints a list");
    answers.iter().map(parsed).collect()
}

fn described(case: &Case) -> Value {
    json!({
        "program": case.program,
        "metric": case.metric,
        "arguments": case.arguments,
        "devset": "data.jsonl",
        "inputs": ["n"],
    })
}

fn parsed(answer: &Value) -> Reference {
    Reference {
        score: answer["score"].as_f64(),
        scores: answer["scores"].as_array().cloned().unwrap_or_default(),
        error: answer["error"].as_str().map(str::to_owned),
    }
}
