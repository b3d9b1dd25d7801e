//! The commands at an embedded node, as a person types them.

use std::fs;

use dspex_tests::{Home, Output, Project};
use serde_json::{Value, json};

fn run(home: &Home, arguments: &[&str]) -> Output {
    home.dspex(&[&["program"][..], arguments].concat()).run()
}

fn object(home: &Home, arguments: &[&str]) -> Value {
    run(home, &[arguments, &["-o", "json"]].concat()).expect(0).object()
}

#[test]
fn a_program_is_stored_changed_shown_listed_and_deleted() {
    let home = Home::new();
    let first = object(&home, &["put", "qa", "--signature", "question, k: int -> answer", "--set", "t=0.2"]);
    assert_eq!((&first["version"], &first["program"], &first["session"]), (&json!(1), &json!("qa"), &Value::Null));
    let second =
        object(&home, &["put", "qa", "--set", "k=[1]", "--remove", "t", "--note", "without t", "--if-version", "1"]);
    assert_eq!((&second["version"], &second["program_id"]), (&json!(2), &first["program_id"]));
    run(&home, &["status", "qa", "ready", "--if-version", "2"]).expect(0);

    let shown = object(&home, &["show", "qa"]);
    assert_eq!(shown["definition"], json!({"signature": "question, k: int -> answer"}));
    assert_eq!((&shown["signature"], &shown["variables"]), (&json!("question, k: int -> answer"), &json!({"k": [1]})));
    assert_eq!(shown["inputs"], json!([{"name": "question", "type": "str"}, {"name": "k", "type": "int"}]));
    assert_eq!(
        (&shown["status"], &shown["note"], &shown["version"]),
        (&json!("ready"), &json!("without t"), &json!(2))
    );
    assert_eq!((&shown["written_by"], &shown["optimization_history"]), (&json!("local user"), &json!([])));
    let earlier = object(&home, &["show", "qa", "--at", "1"]);
    assert_eq!(
        (&earlier["variables"], &earlier["version"], &earlier["newest_version"]),
        (&json!({"t": 0.2}), &json!(1), &json!(2))
    );
    let history = object(&home, &["history", "qa"]);
    let versions: Vec<&Value> =
        history["items"].as_array().expect("items").iter().map(|item| &item["version"]).collect();
    assert_eq!(versions, [2, 1]);

    run(&home, &["put", "ab", "--signature", "q -> a"]).expect(0);
    let names = |arguments: &[&str]| -> Vec<String> {
        let listed = object(&home, arguments);
        listed["items"]
            .as_array()
            .expect("items")
            .iter()
            .filter_map(|item| item["program"].as_str().map(str::to_owned))
            .collect()
    };
    assert_eq!(names(&[]), ["ab", "qa"]);
    assert_eq!(
        (names(&["list", "--status", "ready"]), names(&["list", "--prefix", "a"])),
        (vec!["qa".to_owned()], vec!["ab".to_owned()])
    );
    let table = run(&home, &["list"]).expect(0).stdout;
    assert!(table.contains("question, k: int -> answer") && table.contains("draft"), "{table}");

    run(&home, &["delete", "qa"]).expect(2).says("--yes");
    run(&home, &["delete", "qa", "--yes", "--if-version", "1"]).expect(1).says("VERSION_CONFLICT").says("version 2");
    run(&home, &["delete", "qa", "--yes"]).expect(0);
    run(&home, &["show", "qa"]).expect(5).says("PROGRAM_UNKNOWN").says("there is no program qa");
    let trail = home.dspex(&["audit", "-o", "json"]).run().expect(0).object();
    let entry = |number: usize| (trail["items"][number]["action"].clone(), trail["items"][number]["subject"].clone());
    assert_eq!(entry(0), (json!("program delete"), json!("qa")));
    assert_eq!(trail["items"][1]["refusal"].as_str().map(|why| why.contains("version 2")), Some(true));
}

#[test]
fn what_somebody_else_has_changed_is_not_overwritten_without_a_word() {
    let home = Home::new();
    let signature = ["--signature", "q -> a"];
    run(&home, &[&["put", "qa", "--if-version", "1"][..], &signature].concat()).expect(5).says("PROGRAM_UNKNOWN");
    run(&home, &["put", "qa", "--set", "t=1"]).expect(5).says("there is no program qa");
    run(&home, &[&["put", "qa", "--if-version", "0"][..], &signature].concat()).expect(0);
    let taken = run(&home, &[&["put", "qa", "--if-version", "0"][..], &signature].concat());
    taken.expect(1).says("VERSION_CONFLICT").says("version 1 by now");
    run(&home, &["status", "qa", "ready", "--if-version", "7"]).expect(1).says("VERSION_CONFLICT");
    run(&home, &["show", "qa", "--at", "7"]).expect(5).says("PROGRAM_VERSION_NOT_FOUND").says("1 to 1, not 7");
    run(&home, &["put", "qa", "--set", "t=0.2", "--set", "t=0.3"]).expect(2).says("given twice");
    run(&home, &["put", "qa", "--set", "t=warm"]).expect(2).says("quotes");
}

#[test]
fn the_newest_twenty_versions_are_kept() {
    let home = Home::new();
    run(&home, &["put", "qa", "--signature", "q -> a"]).expect(0);
    for number in 2..=25 {
        run(&home, &["put", "qa", "--set", &format!("n={number}")]).expect(0);
    }
    let history = object(&home, &["history", "qa"]);
    let versions: Vec<u64> =
        history["items"].as_array().expect("items").iter().filter_map(|item| item["version"].as_u64()).collect();
    assert_eq!(versions, (6..=25).rev().collect::<Vec<_>>());
    run(&home, &["show", "qa", "--at", "5"]).expect(5).says("6 to 25, not 5");
}

#[test]
fn a_definition_comes_from_a_file_or_from_stdin_and_what_no_worker_could_build_is_refused() {
    let home = Home::new();
    let project = Project::empty();
    let file = |name: &str, text: &str| {
        project.file(name, text);
        project.directory().join(name).to_string_lossy().into_owned()
    };
    let code =
        file("code.json", r#"{"program": "qa.py:program", "state": {"predict": {"demos": [{"q": "1", "a": "2"}]}}}"#);
    run(&home, &["put", "code", &code, "--signature", "page: Page -> answers: list[Answer]"]).expect(0);
    let shown = object(&home, &["show", "code"]);
    assert_eq!(
        (&shown["signature"], &shown["definition"]["program"]),
        (&json!("page: Page -> answers: list[Answer]"), &json!("qa.py:program"))
    );
    run(&home, &["put", "untold", &code]).expect(0);
    assert_eq!(object(&home, &["show", "untold"])["signature"], Value::Null);
    run(&home, &["put", "missing", "/nowhere/qa.json"]).expect(2).says("/nowhere/qa.json");
    for (name, text, reason, says) in [
        ("no-json", "{", "DEFINITION_INVALID", "no JSON"),
        ("empty", "{}", "DEFINITION_INVALID", "either a signature or a program"),
        ("field", r#"{"signature": "q -> a", "demos": []}"#, "DEFINITION_INVALID", "\"demos\""),
        ("twice", r#"{"signature": "q, q -> a"}"#, "SIGNATURE_INVALID", "the field \"q\""),
        ("keyword", r#"{"signature": "class -> a"}"#, "SIGNATURE_INVALID", "a word of Python's own"),
        ("type", r#"{"signature": "q: strr -> a"}"#, "SIGNATURE_INVALID", "\"strr\" is no type"),
        (
            "secret",
            r#"{"signature": "q -> a", "lm": "m", "lm_settings": {"api_key": "sk-verysecret"}}"#,
            "DEFINITION_INVALID",
            "lm_settings.api_key",
        ),
    ] {
        let refused = run(&home, &["put", name, &file("it.json", text)]).expect(2);
        refused.says(reason).says(says).does_not_say("sk-verysecret");
        run(&home, &["show", name]).expect(5);
    }
    for path in [home.data(), home.path().join("node.log")] {
        assert!(!holds(&path, b"sk-verysecret"), "a secret is in {}", path.display());
    }
}

/// Whether a file, or one below a directory, has these bytes in it.
fn holds(path: &std::path::Path, needle: &[u8]) -> bool {
    if path.is_dir() {
        return fs::read_dir(path).expect("readable").flatten().any(|entry| holds(&entry.path(), needle));
    }
    fs::read(path).is_ok_and(|bytes| bytes.windows(needle.len()).any(|window| window == needle))
}

#[test]
fn a_list_that_is_cut_says_so_and_all_of_it_is_had_page_by_page() {
    let home = Home::new();
    for number in 0..101 {
        run(&home, &["put", &format!("p{number:03}"), "--signature", "q -> a"]).expect(0);
    }
    let cut = run(&home, &["list", "-o", "csv"]).expect(0);
    cut.says("100 shown, and there are more: --all");
    assert_eq!(cut.stdout.lines().count(), 1 + 100);
    let all = run(&home, &["list", "-o", "jsonl", "--all"]).expect(0);
    assert_eq!(all.objects().len(), 101);
    assert_eq!(object(&home, &["list"])["counts"]["programs"], 101);
}
