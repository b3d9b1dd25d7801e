//! The README's promises, typed as they stand there: every `dspex` command of its console blocks runs and succeeds. Only the
//! paid model is replaced by an offline one, and the example's run id by a real one.

use std::time::Duration;

use dspex_tests::{Home, Project, places};
use serde_json::json;

/// Stands for the model behind a key: answers every question with "yes", slowly enough to be cancelled.
const OFFLINE: &str = r#"
import time
import dspy
from dspy.lm15 import Message, Response, TextPart, Usage

class Engine:
    def complete(self, request):
        time.sleep(0.05)
        text = "[[ ## reasoning ## ]]\nbecause\n\n[[ ## answer ## ]]\nyes\n\n[[ ## completed ## ]]"
        usage = Usage(input_tokens=1, output_tokens=1, total_tokens=2)
        return Response(id=None, model=request.model, message=Message.assistant([TextPart(text)]), finish_reason="stop", usage=usage)

    def close(self):
        pass

lm = dspy.LM("offline/yes", engine=Engine(), cache=False)
"#;

#[test]
fn every_command_of_the_readme_does_what_it_says() {
    let readme = std::fs::read_to_string(places::checkout().join("README.md")).expect("the README");
    let (home, project) = (Home::new(), Project::empty());
    project.file("qa.py", python_block(&readme, "# qa.py"));
    project.file("offline.py", OFFLINE);
    project.rows("dev.jsonl", (0..80).map(|row| json!({"question": format!("{row}?"), "answer": "yes"})));

    let commands = commands(&readme);
    assert!(commands.len() >= 6, "the README shows how to evaluate, resume, list and read: {commands:?}");
    let mut run = String::new();
    for command in commands {
        if command.contains("resume") {
            run = unfinished_run(&home, &project);
        }
        let offline = command.replace("openai/gpt-4o-mini", "offline.py:lm");
        let words = offline.split_whitespace().skip(1);
        let arguments: Vec<&str> =
            words.map(|word| if word == "01a1fda7-bbcf" { run.as_str() } else { word }).collect();
        let output = home
            .dspex(&arguments)
            .directory(project.directory())
            .env("DSPEX_PYTHON", places::interpreter())
            .limit(Duration::from_secs(120))
            .run()
            .expect(0);
        if command.contains("digits:few_shot_16") {
            assert!(output.stdout.contains("60.5"), "the score that the README shows\n{}", output.describe());
        }
        if command.contains("run results") {
            assert_eq!(output.objects().len(), 80, "{}", output.describe());
        }
    }
}

/// A run of the README's own program that was cancelled in the middle.
fn unfinished_run(home: &Home, project: &Project) -> String {
    let arguments = [
        "eval",
        "qa.py:program",
        "--devset",
        "dev.jsonl",
        "--metric",
        "exact",
        "--lm",
        "offline.py:lm",
        "--detach",
        "--num-threads",
        "2",
        "-o",
        "json",
    ];
    let detached = home
        .dspex(&arguments)
        .directory(project.directory())
        .env("DSPEX_PYTHON", places::interpreter())
        .run()
        .expect(0);
    let run = detached.object()["run_id"].as_str().expect("a run id").to_owned();
    home.dspex(&["run", "cancel", &run]).run().expect(0);
    run
}

/// The `dspex` commands of the console blocks, without prompt and comment.
fn commands(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if let (true, Some(command)) = (inside, line.strip_prefix("$ dspex")) {
            let command = command.split("  #").next().unwrap_or_default();
            commands.push(format!("dspex{command}"));
        }
    }
    commands
}

/// The Python block that starts with this line.
fn python_block(text: &str, first: &str) -> String {
    let block = text.split("```python\n").skip(1).find(|block| block.starts_with(first));
    block.and_then(|block| block.split("```").next()).expect("the block").to_owned()
}
