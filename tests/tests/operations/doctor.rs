//! `dspex doctor`: faults are planted, and found by their checks.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use dspex_tests::{Cluster, Dspex, Home, Project, free_port, places, python};
use serde_json::Value;

/// The states of a check; several findings may have one name.
fn states(report: &Value, check: &str) -> Vec<String> {
    let items = report["items"].as_array().expect("items");
    let of_check = items.iter().filter(|item| item["check"] == check);
    of_check.map(|item| item["state"].as_str().expect("a state").to_owned()).collect()
}

/// What is said by a check that has failed, with what to do.
#[track_caller]
fn failure(report: &Value, check: &str) -> String {
    let items = report["items"].as_array().expect("items");
    let failed = items.iter().find(|item| item["check"] == check && item["state"] == "failure");
    let failed = failed.unwrap_or_else(|| panic!("{check} has not failed in {report}"));
    assert!(failed["do"].as_str().is_some_and(|advice| !advice.is_empty()), "{failed} does not say what to do");
    failed["says"].as_str().expect("text").to_owned()
}

fn doctor(home: &Home, arguments: &[&str]) -> Dspex {
    home.dspex(&["doctor", "-o", "json"]).args(arguments)
}

#[test]
fn a_machine_that_works_has_no_failure_and_nothing_is_made() {
    let home = Home::new();
    let report = doctor(&home, &[]).run().expect(0).object();
    for check in ["configuration", "python", "home", "node"] {
        assert_eq!(states(&report, check), ["ok"], "{report}");
    }
    assert_eq!(report["counts"]["failure"], 0);
    let says = report["items"].to_string();
    assert!(says.contains(&places::interpreter().display().to_string()) && says.contains("with dspy"), "{says}");
    assert!(!home.path().exists(), "it was made by looking");
    let table = home.dspex(&["doctor"]).run().expect(0);
    assert!(table.stdout.lines().next().is_some_and(|line| line.starts_with("ok ")), "{}", table.describe());
    table.says("checks");
}

#[test]
fn a_python_that_cannot_serve_is_found() {
    let (home, project) = (Home::new(), Project::empty());
    project.executable("mute", "#!/bin/sh\nexit 7\n");
    let mute = project.path("mute").display().to_string();
    let report = doctor(&home, &[]).env("DSPEX_PYTHON", &mute).run().expect(1).object();
    let said = failure(&report, "python");
    assert!(said.contains(&mute) && said.contains("exit status: 7"), "{said}");

    let make = "import sys, venv; venv.EnvBuilder(with_pip=False, symlinks=True).create(sys.argv[1])";
    python(&project, make, &["empty"]).expect(0);
    let empty = project.path("empty/bin/python").display().to_string();
    let report = doctor(&home, &["--python", &empty]).run().expect(1).object();
    assert!(failure(&report, "python").contains("has no dspy"), "{report}");
    assert_eq!(states(&report, "package"), ["warning"], "it is for scripts only");

    let report = doctor(&home, &["--python", "/nonexistent/python"]).run().expect(1).object();
    assert!(failure(&report, "python").contains("/nonexistent/python"), "{report}");
}

#[test]
fn a_package_that_does_not_belong_to_the_program_is_found() {
    let (home, project) = (Home::new(), Project::empty());
    project.file("old/dspex/__init__.py", "__version__ = \"0.0.1\"\n");
    project.file("broken/dspex/__init__.py", "raise RuntimeError(\"half installed\")\n");
    let with = |name: &str| doctor(&home, &[]).env("PYTHONPATH", project.path(name)).run().expect(1).object();
    assert!(failure(&with("old"), "package").contains("0.0.1"));
    let broken = with("broken");
    assert!(failure(&broken, "package").contains("half installed"));
    // Workers have the program's own.
    assert_eq!(states(&broken, "python"), ["ok"]);
}

#[test]
fn a_home_that_a_node_would_refuse_is_found() {
    let home = Home::new();
    std::fs::create_dir_all(home.path()).expect("a home");
    std::fs::write(home.path().join("x"), "").expect("written");
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let report = doctor(&home, &[]).run().expect(1).object();
    assert!(failure(&report, "home").contains("open to other users"), "{report}");
    std::fs::remove_dir_all(home.path()).expect("removed");
    std::fs::write(home.path(), "").expect("written");
    let report = doctor(&home, &[]).run().expect(1).object();
    assert!(failure(&report, "home").contains("is not a directory"), "{report}");
    std::fs::remove_file(home.path()).expect("removed");
    doctor(&home, &[]).run().expect(0);
}

#[test]
fn a_file_its_ports_and_its_certificates_are_looked_at() {
    let (home, project) = (Home::new(), Project::empty());
    let cert = home.dspex(&["cert", "init", "--days", "2", "--node", "n=127.0.0.1"]);
    cert.directory(project.directory()).run().expect(0);
    let (api, http, peers) = (free_port(), free_port(), free_port());
    let file = format!(
        "[api]\nlisten = \"127.0.0.1:{api}\"\n[http]\nlisten = \"127.0.0.1:{http}\"\n[peers]\nlisten = \"127.0.0.1:{peers}\"\n\
         ca = \"certs/ca.pem\"\ncertificate = \"certs/n/node.pem\"\nkey = \"certs/n/node.key\"\n[python]\ninterpreter = \"{}\"\n",
        places::interpreter().display()
    );
    project.file("dspex.toml", &file);
    let look = || doctor(&home, &["--config", "dspex.toml"]).directory(project.directory()).run();
    let report = look().expect(0).object();
    assert_eq!(states(&report, "ports"), ["ok"], "{report}");
    // The authority lasts, the node's own does not; the key is private.
    assert_eq!(states(&report, "certificates"), ["ok", "warning", "ok"], "{report}");
    assert_eq!(states(&report, "data"), ["ok"], "{report}");

    let taken = TcpListener::bind(("127.0.0.1", http)).expect("free");
    let report = look().expect(1).object();
    let said = failure(&report, "ports");
    assert!(said.contains(&format!("127.0.0.1:{http} (http.listen)")), "{said}");
    drop(taken);

    // Peers would dial a name that the certificate is not for.
    project.file("dspex.toml", file.replace("[peers]\n", "[peers]\nadvertise = \"elsewhere.example:7410\"\n"));
    let report = look().expect(1).object();
    assert!(failure(&report, "certificates").contains("elsewhere.example"), "{report}");

    project.file("dspex.toml", file.replace("[api]\n", "[api]\ncolour = 1\n"));
    let report = look().expect(1).object();
    assert!(failure(&report, "configuration").contains("dspex.toml:2: api.colour"), "{report}");
}

#[test]
fn a_cluster_is_whole_or_lacks_a_member_or_its_quorum() {
    let mut cluster = Cluster::of(3);
    let look = |cluster: &Cluster| cluster.dspex(0, &["doctor", "-o", "json"]).run();
    let report = look(&cluster).expect(0).object();
    assert_eq!((states(&report, "node"), states(&report, "cluster")), (vec!["ok".to_owned()], vec!["ok".to_owned()]));
    // The file leads to its node, too, whose ports are then its own.
    let config = cluster.node(1).config();
    let report = cluster.local(&["doctor", "-o", "json", "--config"]).arg(config).run().expect(0).object();
    assert_eq!(states(&report, "node"), ["ok"], "{report}");
    assert!(states(&report, "ports").is_empty(), "{report}");
    cluster.kill(2);
    cluster.leader();
    let report = look(&cluster).expect(0).object();
    assert_eq!(states(&report, "cluster"), ["warning"], "{report}");
    cluster.kill(1);
    let report = look(&cluster).expect(1).object();
    failure(&report, "cluster");
}

#[test]
fn a_node_that_is_named_and_does_not_answer_is_a_failure() {
    let home = Home::new();
    let address = format!("127.0.0.1:{}", free_port());
    let report = doctor(&home, &["--address", &address]).run().expect(1).object();
    assert!(failure(&report, "node").contains(&address), "{report}");
    let report = doctor(&home, &["--address", &address, "--token-file", "/nonexistent"]).run().expect(1).object();
    assert!(failure(&report, "node").contains("/nonexistent"), "{report}");
}
