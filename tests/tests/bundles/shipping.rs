//! A project is sent once, and executed where the caller's directory plays no part.

use std::time::Duration;

use dspex_tests::{Cluster, holds_within, process};
use serde_json::json;

use crate::subject::{EVAL, Node, lies_below, predicted, project};

#[test]
fn a_project_is_executed_on_the_node_and_not_where_it_was_sent_from() {
    let (node, project) = (Node::start(), project(4));
    let evaluation = node.eval(&project).run().expect(0);
    evaluation.says("was sent").says("environment default");
    let result = evaluation.object();
    assert_eq!((&result["score"], &result["failed"]), (&json!(100.0), &json!(0)), "{result}");
    let run = result["run_id"].as_str().expect("an id");
    for field in ["here", "start"] {
        let place = predicted(&node, run, field);
        assert!(lies_below(&place, &node.bundles()), "{field} is {place}");
    }
    let shown = node.run(run);
    assert_eq!((shown.environment.as_str(), shown.bundle.len()), ("default", 64));
    let own = project.directory().canonicalize().expect("there");
    assert_eq!(shown.directory, own.to_string_lossy(), "people are told where they typed it");
}

#[test]
fn a_run_goes_on_when_the_callers_directory_is_gone_and_a_worker_dies() {
    let (node, project) = (Node::start(), project(60));
    let eval = node.eval(&project).args(["--workers", "1", "--num-threads", "1", "--env", "PAUSE=0.1"]).start();
    node.wait_for_results(3);
    let gone = tempfile::tempdir().expect("a directory");
    std::fs::rename(project.directory(), gone.path().join("gone")).expect("renamed");
    let workers = node.ask(async |client| client.list_workers().await).expect("workers");
    let pid = workers.iter().map(|worker| worker.pid).find(|pid| *pid > 0).expect("a worker");
    process::kill(pid);
    let result = eval.finish().expect(0).object();
    assert_eq!((&result["score"], &result["failed"]), (&json!(100.0), &json!(0)), "{result}");
    std::fs::rename(gone.path().join("gone"), project.directory()).expect("renamed back");
}

#[test]
fn an_unchanged_project_is_neither_sent_nor_unpacked_again() {
    let (node, project) = (Node::start(), project(2));
    node.eval(&project).run().expect(0).says("was sent");
    node.eval(&project).run().expect(0).says("is there already, unchanged");
    assert_eq!(node.unpacked(), 1);
    project.file("helping.py", "def half(n):\n    return int(n) / 2.0\n");
    node.eval(&project).run().expect(0).says("was sent");
    assert_eq!(node.unpacked(), 2);
}

#[test]
fn a_command_that_is_typed_in_a_subdirectory_means_the_same_files() {
    let (node, project) = (Node::start(), project(2));
    project.file("pyproject.toml", "").file("sub/words.txt", "words of sub").file("sub/data.jsonl", "{\"n\": 2}\n");
    let words =
        ["eval", "../program.py:program", "--devset", "data.jsonl", "--metric", "../program.py:metric", "-o", "json"];
    let result = node.dspex(&words).directory(&project.path("sub")).run().expect(0).object();
    let run = result["run_id"].as_str().expect("an id");
    assert_eq!(predicted(&node, run, "data"), "words of sub");
    assert!(predicted(&node, run, "start").ends_with("/sub"));
    // From elsewhere the root is where workers start.
    let whole = project.path("program.py").display().to_string();
    let (program, metric) = (format!("{whole}:program"), format!("{whole}:metric"));
    let data = project.path("data.jsonl").display().to_string();
    let words = ["eval", &program, "--devset", &data, "--metric", &metric, "-o", "json"];
    let elsewhere = tempfile::tempdir().expect("a directory");
    let result = node.dspex(&words).directory(elsewhere.path()).run().expect(0).object();
    assert_eq!(predicted(&node, result["run_id"].as_str().expect("an id"), "data"), "words");
}

#[test]
fn a_package_below_src_a_python_dataset_and_a_saved_state_come_along() {
    let (node, project) = (Node::start(), project(0));
    project.file("pyproject.toml", "").file("src/mine/__init__.py", "").file(
        "src/mine/parts.py",
        "import dspy\ndevset = [dspy.Example(question='q', answer='Four').with_inputs('question')]\n\
         program = dspy.Predict('question -> answer')\n\
         def exact(example, prediction):\n    return len(program.demos) == 0 and prediction.answer == example.answer\n",
    );
    project.file("lm.py", LM);
    let elsewhere = tempfile::tempdir().expect("a directory");
    let saved = elsewhere.path().join("state.json");
    std::fs::write(&saved, SAVED).expect("written");
    let words = [
        "eval",
        "mine.parts:program",
        "--devset",
        "mine.parts:devset",
        "--metric",
        "mine.parts:exact",
        "--lm",
        "lm.py:lm",
    ];
    let eval = node.dspex(&words).args(["-o", "json", "--load"]).arg(&saved);
    let result = eval.directory(project.directory()).env("PYTHONPATH", project.path("src")).run().expect(0).object();
    assert_eq!(result["score"], json!(100.0), "{result}");
}

/// What `dspy.Predict("question -> answer").save(FILE)` writes, but for its versions.
const SAVED: &str = r#"{"traces": [], "train": [], "demos": [], "signature": {"instructions": "Say four.", "fields": [{"prefix": "Question:", "description": "${question}"}, {"prefix": "Answer:", "description": "${answer}"}]}, "lm": null, "metadata": {"dependency_versions": {}}}"#;

const LM: &str = r#"
import dspy

class Answers(dspy.BaseLM):
    forward_contract = "legacy"

    def __init__(self):
        super().__init__("mine/four")

    def forward(self, prompt=None, messages=None, **kwargs):
        from types import SimpleNamespace
        text = "[[ ## answer ## ]]\nFour\n\n[[ ## completed ## ]]"
        choice = SimpleNamespace(message=SimpleNamespace(content=text, tool_calls=None), finish_reason="stop")
        return SimpleNamespace(choices=[choice], usage={"total_tokens": 1}, model=self.model)

lm = Answers()
"#;

#[test]
fn a_project_may_have_modules_with_the_names_of_others() {
    let (node, project) = (Node::start(), project(2));
    for name in ["json.py", "ast.py", "importlib.py"] {
        project.file(name, "raise SystemExit('imported on the caller')\n");
    }
    node.eval(&project).run().expect(0);
}

#[test]
fn an_installed_program_needs_no_project() {
    let node = Node::start();
    let elsewhere = tempfile::tempdir().expect("a directory");
    let digits = "dspex.samples.digits";
    let words = [
        "eval".to_owned(),
        format!("{digits}:few_shot_16"),
        "--devset".to_owned(),
        format!("{digits}:devset"),
        "--metric".to_owned(),
        format!("{digits}:exact"),
        "--lm".to_owned(),
        format!("{digits}:lm"),
    ];
    let eval = node.dspex(&[]).args(words).args(["--limit", "5", "-o", "json"]).directory(elsewhere.path());
    let evaluation = eval.run().expect(0);
    evaluation.does_not_say("was sent");
    assert_eq!((node.unpacked(), &evaluation.object()["failed"]), (0, &json!(0)));
}

#[test]
fn tracebacks_name_files_from_the_root_of_the_project() {
    let (node, project) = (Node::start(), project(1));
    project.file("helping.py", "def half(n):\n    raise KeyError('missing')\n");
    let failed = node.eval(&project).args(["--max-errors", "5"]).run().expect(0).object();
    let run = failed["run_id"].as_str().expect("an id");
    let results = node.dspex(&["run", "results", run, "--failed", "-o", "json"]).run().expect(0).object();
    let failure = &results["items"][0]["failure"];
    assert_eq!((&failure["file"], &failure["line"]), (&json!("helping.py"), &json!(2)), "{results}");
    assert!(!failure["traceback"].as_str().unwrap_or_default().contains("bundles"), "{failure}");
    project.file("helping.py", "import not_there_at_all\n");
    let refused = node.eval(&project).run().expect(2);
    refused.says("not_there_at_all").does_not_say("bundles/");
}

#[test]
fn in_place_nothing_is_sent() {
    let project = project(2);
    let node = Node::with(&format!("[sandbox]\nreadable = [\"{}\"]\n", project.directory().display()));
    let result = node.eval(&project).arg("--in-place").run().expect(0);
    result.does_not_say("was sent");
    let run = result.object()["run_id"].as_str().expect("an id").to_owned();
    assert!(lies_below(&predicted(&node, &run, "here"), project.directory()));
    assert_eq!(node.run(&run).bundle, "");
}

#[test]
fn a_bundle_is_kept_with_its_run_and_freed_with_it() {
    let (node, project) = (Node::start(), project(2));
    let result = node.eval(&project).run().expect(0).object();
    let run = result["run_id"].as_str().expect("an id");
    let bundle = node.run(run).bundle;
    let kept = || node.ask(async |client| client.get_blob(&bundle).await).is_ok();
    assert!(kept());
    node.dspex(&["run", "delete", run, "--yes"]).run().expect(0);
    // It is not what was asked for by Keep: that would pin it.
    assert!(holds_within(Duration::from_secs(30), || !kept()), "the bundle of a deleted run is still there");
}

#[test]
fn a_bundle_is_on_every_node_and_a_run_is_executed_by_the_one_that_was_asked() {
    let (cluster, project) = (Cluster::of(3), project(4));
    let mut bundles = Vec::new();
    for position in 0..3 {
        let result = cluster.dspex(position, &EVAL).directory(project.directory()).run().expect(0).object();
        assert_eq!(result["score"], json!(100.0));
        let run = result["run_id"].as_str().expect("an id").to_owned();
        bundles.push(cluster.ask(position, async |client| client.run(&run).await).expect("a run").bundle);
    }
    assert!(bundles.iter().all(|bundle| *bundle == bundles[0]), "{bundles:?}");
    for position in 0..3 {
        let bytes = cluster.ask(position, async |client| client.get_blob(&bundles[0]).await).expect("the bundle");
        assert!(bytes.starts_with(b"dspex-bundle"));
    }
}
