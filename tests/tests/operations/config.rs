//! `dspex config`: what holds, what is wrong, what there is.

use dspex_tests::{Home, Project, places, python, skip};
use serde_json::{Value, json};

const FILE: &str = "data_dir = \"kept\"\n\n[pools.general]\nworkers = 3\nretries = 0\n\
                    lm = \"https://user:hunter2hunter2@models.example/v1\"\n";

fn item<'a>(shown: &'a Value, key: &str) -> &'a Value {
    let items = shown["items"].as_array().expect("items");
    items.iter().find(|item| item["key"] == key).unwrap_or_else(|| panic!("{key} is not in {shown}"))
}

#[test]
fn a_value_comes_from_the_environment_else_the_file_else_the_default() {
    let (home, project) = (Home::new(), Project::empty());
    project.file("dspex.toml", FILE);
    let show = |arguments: &[&str]| {
        let show = home.dspex(&["config", "show", "--config", "dspex.toml"]).args(arguments);
        show.env("DSPEX_POOLS__GENERAL__WORKERS", "5")
            .env("DSPEX_API__LISTEN", "127.0.0.1:7999")
            .directory(project.directory())
    };
    let shown = show(&["--origin", "-o", "json"]).run().expect(0).object();
    for (key, value, origin) in [
        ("pools.general.workers", json!(5), "DSPEX_POOLS__GENERAL__WORKERS"),
        ("api.listen", json!("127.0.0.1:7999"), "DSPEX_API__LISTEN"),
        ("pools.general.retries", json!(0), "dspex.toml:5"),
        ("http.listen", json!("127.0.0.1:7480"), "default"),
        ("pools.optimizer.workers", json!(1), "default"),
    ] {
        assert_eq!(item(&shown, key), &json!({"key": key, "value": value, "origin": origin}));
    }
    let data = project.directory().canonicalize().expect("a directory").join("kept");
    assert_eq!(item(&shown, "data_dir")["value"], json!(data));
    // Secrets are in no format.
    for format in ["table", "json", "jsonl", "csv"] {
        let output = show(&["-o", format]).run().expect(0);
        assert!(
            output.stdout.contains("models.example") && !output.stdout.contains("hunter2"),
            "{}",
            output.describe()
        );
    }
    assert!(item(&show(&["-o", "json"]).run().expect(0).object(), "api.listen").get("origin").is_none());
}

#[test]
fn without_a_file_it_is_about_the_embedded_node() {
    let home = Home::new();
    let shown = home.dspex(&["config", "-o", "json"]).run().expect(0).object();
    let items = shown["items"].as_array().expect("items");
    assert!(items.iter().all(|item| item["key"].as_str().is_some_and(|key| key.starts_with("pools."))), "{shown}");
    assert_eq!(item(&shown, "pools.general.idle_timeout_s")["value"], 300);
    assert!(!home.path().exists(), "looking makes nothing");
    std::fs::create_dir_all(home.path()).expect("a home");
    std::fs::write(home.path().join("dspex.toml"), "[pools.general]\nworkers = 2\n").expect("written");
    let shown = home.dspex(&["config", "show", "--origin", "-o", "json"]).run().expect(0).object();
    let workers = item(&shown, "pools.general.workers");
    assert_eq!(workers["value"], 2);
    assert!(workers["origin"].as_str().is_some_and(|origin| origin.ends_with("dspex.toml:2")), "{workers}");
}

#[test]
fn a_file_is_refused_with_the_words_of_the_node_and_before_anything_is_made() {
    let (home, project) = (Home::new(), Project::empty());
    let interpreter = format!("[python]\ninterpreter = \"{}\"\n", places::interpreter().display());
    for (text, phrases) in [
        ("colour = 1\n".to_owned(), vec!["dspex.toml:1: colour", "data_dir"]),
        (
            "[pools.general]\nworkers = 0\n".to_owned(),
            vec!["dspex.toml:2: pools.general.workers = 0", "between 1 and 64"],
        ),
        ("[api]\nlisten = \"0.0.0.0:7400\"\n".to_owned() + &interpreter, vec!["api.listen", "TLS"]),
        ("[peers]\nlisten = \"10.0.0.1:7410\"\n".to_owned() + &interpreter, vec!["peers.listen", "dspex cert init"]),
        ("[python]\ninterpreter = \"/nonexistent\"\n".to_owned(), vec!["python.interpreter", "/nonexistent"]),
        (
            "[cluster]\njoin = [\"a:1\"]\nbootstrap_expect = 3\n".to_owned() + &interpreter,
            vec!["cluster.join", "exactly the first voters"],
        ),
        (
            "[peers]\nca = \"ca.pem\"\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n".to_owned() + &interpreter,
            vec!["peers.ca", "peers.certificate", "peers.key", "No such file"],
        ),
    ] {
        project.file("dspex.toml", &text);
        let run = |arguments: &[&str]| home.dspex(arguments).directory(project.directory()).run();
        let validated = run(&["config", "validate", "dspex.toml"]).expect(2);
        for phrase in phrases {
            validated.says(phrase);
        }
        assert_eq!(validated.stdout, "");
        let started = run(&["node", "--config", "dspex.toml"]).expect(2);
        assert_eq!(started.stderr, validated.stderr, "{text}");
        let object = run(&["config", "validate", "dspex.toml", "-o", "json"]).expect(2).object();
        assert_eq!(object["valid"], false);
        assert!(!object["errors"].as_array().expect("errors").is_empty(), "{object}");
        assert!(!project.path("data").exists());
    }
}

#[test]
fn a_good_file_is_valid_and_what_its_workers_would_lack_is_named() {
    let (home, project) = (Home::new(), Project::empty());
    let python = format!("[python]\ninterpreter = \"{}\"\n", places::interpreter().display());
    project.file("dspex.toml", &python);
    let validate = || home.dspex(&["config", "validate", "dspex.toml"]).directory(project.directory());
    let output = validate().run().expect(0);
    assert_eq!(output.stdout, "dspex.toml: valid\n");
    let object = validate().args(["-o", "json"]).run().expect(0).object();
    assert_eq!((&object["valid"], &object["errors"]), (&json!(true), &json!([])));
    project.file("wrong.toml", format!("{python}directory = \"/nonexistent\"\n"));
    let wrong = home.dspex(&["config", "validate", "wrong.toml"]).directory(project.directory()).run();
    wrong.expect(2).says("python.directory").says("/nonexistent");
    // The environment is a part of what a node reads.
    validate().env("DSPEX_POOLS__GENERAL__WORKER", "1").run().expect(2).says("DSPEX_POOLS__GENERAL__WORKER");
    home.dspex(&["config", "validate", "/nonexistent.toml"]).run().expect(2).says("/nonexistent.toml");
}

/// Which of some files a validator that knows nothing of DSPex takes.
const VALIDATE: &str = r#"
import json, sys
try:
    import jsonschema, tomllib
except ImportError as error:
    print("missing", error)
    sys.exit(0)
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
for name in sys.argv[2:]:
    print("valid" if validator.is_valid(tomllib.load(open(name, "rb"))) else "invalid", name)
"#;

#[test]
fn the_schema_takes_the_documented_file_and_refuses_what_a_node_refuses() {
    let (home, project) = (Home::new(), Project::empty());
    let schema = home.dspex(&["config", "schema"]).run().expect(0);
    project.file("schema.json", &schema.stdout);
    let page = std::fs::read_to_string(places::checkout().join("docs/src/reference/configuration.md")).expect("a page");
    let block = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the example");
    project.file("documented.toml", block);
    let wrong = [
        ("unknown.toml", "colour = 1\n"),
        ("nested.toml", "[pools.general]\nworker = 1\n"),
        ("class.toml", "[pools.genral]\nworkers = 1\n"),
        ("type.toml", "[api]\nlisten = 7400\n"),
        ("range.toml", "[pools.general]\nworkers = 0\n"),
        ("size.toml", "[pools.general]\nmemory_limit = \"lots\"\n"),
    ];
    let mut arguments = vec!["schema.json", "documented.toml"];
    for (name, text) in wrong {
        project.file(name, text);
        arguments.push(name);
        home.dspex(&["config", "validate", name]).directory(project.directory()).run().expect(2);
    }
    let output = python(&project, VALIDATE, &arguments).expect(0);
    if output.stdout.starts_with("missing") {
        return skip("the_schema_takes_the_documented_file_and_refuses_what_a_node_refuses", output.stdout.trim());
    }
    let mut expected = vec!["valid documented.toml".to_owned()];
    expected.extend(wrong.map(|(name, _)| format!("invalid {name}")));
    assert_eq!(output.stdout.lines().collect::<Vec<_>>(), expected);
}
