//! A run gets an environment that has what its program needs, or is refused with what differs.

use std::path::PathBuf;

use dspex_tests::{Project, places};
use serde_json::json;

use crate::subject::{Node, project};

/// A distribution that only this directory has, and an interpreter that finds it there.
struct Extra {
    project: Project,
}

impl Extra {
    fn new() -> Self {
        let extra = Self { project: Project::empty() };
        let info = "site-packages/needed_thing-1.5.dist-info";
        extra
            .project
            .file("site-packages/needed_thing.py", "VALUE = 2\n")
            .file(&format!("{info}/METADATA"), "Metadata-Version: 2.1\nName: Needed_Thing\nVersion: 1.5\n")
            .file(&format!("{info}/top_level.txt"), "needed_thing\n");
        extra.interpreter("python");
        extra
    }

    fn interpreter(&self, name: &str) {
        let (site, python) = (self.site(), places::interpreter());
        let script = format!("#!/bin/sh\nPYTHONPATH={} exec {} \"$@\"\n", site.display(), python.display());
        self.project.executable(name, &script);
    }

    fn site(&self) -> PathBuf {
        self.project.path("site-packages")
    }

    fn python(&self, name: &str) -> String {
        self.project.path(name).display().to_string()
    }
}

/// A program that imports it, if it is there.
fn needing() -> Project {
    let project = project(2);
    project.file(
        "helping.py",
        "try:\n    from needed_thing import VALUE\nexcept ImportError:\n    VALUE = 2\n\ndef half(n):\n    return int(n) / VALUE\n",
    );
    project
}

#[test]
fn a_run_gets_the_first_environment_that_agrees() {
    let extra = Extra::new();
    let node = Node::with(&format!("[environments.extra]\npython = \"{}\"\n", extra.python("python")));
    let plain = node.eval(&project(2)).run().expect(0);
    plain.says("environment default");
    let project = needing();
    let result = node.eval(&project).env("PYTHONPATH", extra.site()).run().expect(0);
    result.says("environment extra");
    let run = result.object()["run_id"].as_str().expect("an id").to_owned();
    assert_eq!(node.run(&run).environment, "extra");
    // Without it there is nothing that the default one lacks.
    node.eval(&project).run().expect(0).says("environment default");
}

#[test]
fn a_program_that_no_environment_fits_is_refused_with_what_differs() {
    let (node, extra, project) = (Node::start(), Extra::new(), needing());
    let eval = || node.eval(&project).env("PYTHONPATH", extra.site());
    let refused = eval().run().expect(2);
    refused.says("ENVIRONMENT_MISMATCH").says("package").says("yours").says("default");
    refused.says("needed-thing  1.5").says("not there").says("pip install 'needed-thing==1.5'").says("--environment");
    refused.does_not_say("cloudpickle");
    eval().args(["--environment", "default"]).run().expect(0).says("environment default");
    eval().args(["--environment", "nlp"]).run().expect(5).says("ENVIRONMENT_NOT_FOUND").says("default");
}

#[test]
fn another_version_of_python_is_told_as_such() {
    let (node, project) = (Node::start(), project(1));
    let fake = Project::empty();
    // As if the caller had another one: the script that asks says what it is told.
    let answer = r#"dspex-fingerprint {"python": "2.7", "distributions": {"dspy": "0"}, "path": [""], "files": [], "outside": {}}"#;
    fake.executable("python", &format!("#!/bin/sh\ncat >/dev/null\necho '{answer}'\n"));
    let refused = node.eval(&project).arg("--python").arg(fake.path("python")).run().expect(2);
    refused.says("python").says("2.7").says("[environments.NAME]").says("dspy");
}

#[test]
fn environments_are_listed_and_shown() {
    let extra = Extra::new();
    extra.project.executable("broken", "#!/bin/sh\necho 'no such library' >&2\nexit 3\n");
    let node = Node::with(&format!(
        "[environments.extra]\npython = \"{}\"\n[environments.broken]\npython = \"{}\"\n",
        extra.python("python"),
        extra.python("broken")
    ));
    let listed = node.dspex(&["env", "-o", "json"]).run().expect(0);
    listed.says("broken: it ended").says("no such library");
    let items = listed.object()["items"].as_array().expect("items").clone();
    let names: Vec<&str> = items.iter().filter_map(|item| item["name"].as_str()).collect();
    assert_eq!(names, ["default", "broken", "extra"]);
    assert_eq!(items[2]["packages"].as_u64(), items[0]["packages"].as_u64().map(|count| count + 1));
    assert_eq!(items[1]["python"], json!(null));
    let shown = node.dspex(&["env", "show", "extra", "-o", "json"]).run().expect(0).object();
    assert_eq!(shown["distributions"]["needed-thing"], "1.5");
    assert_eq!(shown["dspy"], items[0]["dspy"]);
    let table = node.dspex(&["env", "show", "extra"]).run().expect(0);
    assert!(table.stdout.contains("  needed-thing 1.5\n"), "{}", table.stdout);
    node.dspex(&["env", "show", "nlp"]).run().expect(5).says("ENVIRONMENT_NOT_FOUND");
    // One that is broken is passed over.
    node.eval(&project(1)).run().expect(0).says("environment default");
    // The embedded node has none.
    let home = dspex_tests::Home::new();
    home.dspex(&["env"]).run().expect(0).says("the Python of its caller");
}

#[test]
fn what_is_installed_later_is_seen_without_a_restart() {
    let extra = Extra::new();
    let hidden = extra.project.path("hidden");
    std::fs::rename(extra.site().join("needed_thing-1.5.dist-info"), &hidden).expect("renamed");
    let node = Node::with(&format!("[environments.extra]\npython = \"{}\"\n", extra.python("python")));
    let project = needing();
    let caller = Extra::new();
    let eval = || node.eval(&project).env("PYTHONPATH", caller.site());
    eval().run().expect(2).says("ENVIRONMENT_MISMATCH");
    std::fs::rename(&hidden, extra.site().join("needed_thing-1.5.dist-info")).expect("renamed back");
    eval().run().expect(0).says("environment extra");
}
