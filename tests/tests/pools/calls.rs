//! What can be called, and what a caller is told when it cannot.

use serde_json::json;

use crate::subject::Subject;

const TOOLS: &str = r#"
import dspex

def analyze(text, times=1):
    return {"words": len(text.split()) * times}

def nothing():
    return None

def echo(value):
    return value

def fails():
    raise KeyError("no such thing")

def leaves():
    sys.exit(7)

def unprintable():
    return object()

class Greet(dspy.Module):
    def forward(self, name):
        return dspy.Prediction(greeting=f"hello {name}")

@dspex.command
def marked():
    return "by name"
"#;

#[test]
fn ping_answers_with_what_it_was_given_and_says_who_answered() {
    let subject = Subject::new(TOOLS);
    let answer = subject.answer(&["ping", r#"{"a": [1, 2.5, "ü", null, true]}"#]);
    assert_eq!(answer["payload"], json!({"a": [1, 2.5, "ü", null, true]}));
    assert!(answer["worker"].as_str().is_some_and(|id| id.starts_with("python_worker_")), "{answer}");
    assert_eq!(subject.answer(&["ping"])["payload"], json!(null));
}

#[test]
fn any_function_is_a_command_and_takes_an_objects_fields_by_name() {
    let subject = Subject::new(TOOLS);
    assert_eq!(subject.answer(&["program.py:analyze", r#"{"text": "a b c", "times": 2}"#]), json!({"words": 6}));
    assert_eq!(subject.answer(&["program.py:echo", "[1, 2]"]), json!([1, 2]), "anything else is the only argument");
    assert_eq!(subject.answer(&["program.py:nothing"]), json!(null));
    assert_eq!(subject.answer(&["program.py:Greet", r#"{"name": "Ann"}"#]), json!({"greeting": "hello Ann"}));
    let lossy = subject.answer(&["program.py:unprintable"]);
    assert_eq!(lossy["$lossy"], json!("object"), "{lossy}");
    let shown = subject.dspex(&["pool", "call", "general", "program.py:echo", "\"plain text\""]).run().expect(0);
    assert_eq!(shown.stdout, "plain text\n", "for people without quotes");
}

#[test]
fn a_format_that_a_result_cannot_have_is_refused_before_anything_is_executed() {
    let subject = Subject::new(TOOLS);
    let refused = subject.dspex(&["pool", "call", "general", "ping", "1", "-o", "csv"]).run().expect(2);
    refused.says("no columns");
    assert!(!subject.home.path().exists(), "a node was started for it");
}

#[test]
fn arguments_may_come_from_stdin() {
    let subject = Subject::new(TOOLS);
    let file = subject.project.path("arguments.json");
    std::fs::write(&file, r#"{"text": "one two"}"#).expect("a file");
    let script = format!(
        "{} pool call general program.py:analyze - -o json < arguments.json",
        dspex_tests::places::program().display()
    );
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .current_dir(subject.project.directory())
        .env("DSPEX_HOME", subject.home.path())
        .env("DSPEX_PYTHON", crate::subject::interpreter())
        .output()
        .expect("sh runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "{\"words\":2}\n", "{output:?}");
}

#[test]
fn what_a_command_raises_reaches_its_caller_with_the_traceback() {
    let subject = Subject::new(TOOLS);
    let output = subject.call(&["program.py:fails"]).run().expect(1);
    output.says("CALL_FAILED").says("KeyError: 'no such thing'").says("in fails");
    // A command that ends its interpreter is no reason for the worker to go.
    subject.call(&["program.py:leaves"]).run().expect(1).says("SystemExit: 7");
    let stats = subject.stats();
    assert_eq!((stats["errors"].as_u64(), stats["restarts"].as_u64()), (Some(2), Some(0)), "{stats}");
}

#[test]
fn what_cannot_be_called_is_refused_with_what_to_do() {
    let subject = Subject::new(TOOLS);
    subject.call(&["pnig"]).run().expect(5).says("no command 'pnig'").says("Did you mean 'ping'");
    assert_eq!(subject.stats()["errors"], json!(0), "a typing error says nothing about the pool");
    subject.call(&["program.py:nope"]).run().expect(1).says("nope");
    subject.call(&["missing.py:f"]).run().expect(1).says("missing.py");
    subject.call(&["program.py:analyze", r#"{"txt": "a"}"#]).run().expect(1).says("txt");
    subject.call(&["ping", "hello"]).run().expect(2).says("not JSON").says("double quotes");
    let unknown = subject.dspex(&["pool", "call", "genral", "ping"]).run().expect(5);
    unknown.says("POOL_NOT_FOUND").says("general, optimizer and inference");
    subject.call(&["ping", "--timeout", "0"]).run().expect(2).says("time limit");
    let argument = format!("\"{}\"", "x".repeat(100_000));
    assert_eq!(subject.answer(&["program.py:echo", &argument]).as_str().map(str::len), Some(100_000));
}

#[test]
fn modules_of_the_settings_define_commands_with_names() {
    let subject = Subject::with_settings(TOOLS, "[pools.general]\ncommands = [\"program.py\"]\nworkers = 1\n");
    assert_eq!(subject.answer(&["marked"]), json!("by name"));
    let missing = Subject::with_settings(TOOLS, "[pools.general]\ncommands = [\"nope.py\"]\nworkers = 1\n");
    missing.call(&["ping"]).run().expect(2).says("nope.py");
    let unmarked =
        Subject::with_settings("def f(): pass\n", "[pools.general]\ncommands = [\"program.py\"]\nworkers = 2\n");
    unmarked.call(&["ping"]).run().expect(2).says("@dspex.command");
}

#[test]
fn settings_that_are_wrong_keep_the_node_from_starting_and_are_named() {
    let subject = Subject::with_settings("", "[pools.general]\nworkrs = 2\n");
    subject.call(&["ping"]).run().expect(2).says("workrs");
}

#[test]
fn the_classes_are_pools_of_their_own() {
    let subject = Subject::new("def own_pid():\n    return os.getpid()\n");
    for class in ["general", "optimizer", "inference"] {
        subject.dspex(&["pool", "call", class, "program.py:own_pid"]).run().expect(0);
    }
    let listed = subject.dspex(&["pool", "-o", "json"]).run().expect(0).object();
    let names: Vec<&str> =
        listed["items"].as_array().expect("items").iter().filter_map(|item| item["pool"].as_str()).collect();
    assert_eq!(names, ["general", "optimizer", "inference"]);
    let only = subject.dspex(&["pool", "stats", "optimizer", "-o", "json"]).run().expect(0).object();
    assert_eq!(only["items"][0]["workers"], json!(1), "an optimizer is alone by default");
    assert_eq!(listed["counts"], json!({"ok": 3}));
}

#[test]
fn nothing_is_started_to_say_that_there_is_nothing() {
    let subject = Subject::new("");
    assert_eq!(subject.dspex(&["pool", "-o", "json"]).run().expect(0).object()["items"], json!([]));
    assert_eq!(subject.dspex(&["worker", "-o", "json"]).run().expect(0).object()["items"], json!([]));
    assert!(subject.home.status().is_none(), "no node was started");
}

#[test]
fn another_shell_shares_the_pool_and_many_directories_do_not_use_it_up() {
    let subject = Subject::with_settings("", "[pools.general]\nworkers = 1\n");
    for level in ["1", "2"] {
        subject.call(&["ping"]).env("SHLVL", level).env("TRACEPARENT", level).run().expect(0);
    }
    assert_eq!(subject.stats()["requests"], json!(2), "one pool");
    for number in 0..18 {
        let directory = subject.project.path(&format!("d{number}"));
        std::fs::create_dir(&directory).expect("a directory");
        subject.home.dspex(&["pool", "call", "general", "ping"]).directory(&directory).run().expect(0);
    }
    let listed = subject.dspex(&["pool", "-o", "json"]).run().expect(0).object();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(16), "{listed}");
}

#[test]
fn the_first_calls_of_a_file_may_all_come_at_once() {
    let subject = Subject::with_settings(
        "time.sleep(0.3)\n\ndef double(n):\n    return 2 * n\n",
        "[pools.inference]\nworkers = 1\nthreads = 8\n",
    );
    let call = |n: u32| subject.dspex(&["pool", "call", "inference", "program.py:double", &n.to_string()]).start();
    for (n, call) in (0..8).map(|n| (n, call(n))).collect::<Vec<_>>() {
        assert_eq!(call.finish().expect(0).object(), json!(2 * n));
    }
}
