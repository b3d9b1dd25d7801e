//! What the suites about runs evaluate.

use dspex_tests::Project;

/// `dspex eval` of a project's program on its dataset.
pub const EVAL: [&str; 10] = [
    "eval",
    "program.py:program",
    "--devset",
    "data.jsonl",
    "--metric",
    "program.py:metric",
    "--inputs",
    "n",
    "-o",
    "json",
];

/// A program with so many numbers to be executed for.
pub fn project(program: &str, examples: usize) -> Project {
    let project = Project::new(program);
    project.file("data.jsonl", (0..examples).map(|n| format!("{{\"n\": {n}}}\n")).collect::<String>());
    project
}
