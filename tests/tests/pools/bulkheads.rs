//! The processes of a class of pools: one that is flooded slows no other, says so, and works again when the flood is over.

use std::time::Duration;

use dspex_tests::{Dspex, Project, holds_within};
use serde_json::{Value, json};

use crate::subject::Subject;

const PATIENCE: Duration = Duration::from_secs(60);

const SETTINGS: &str = "[pools.general]\nworkers = 2\nprocesses_max = 2\nqueue_max = 3\nexecution_timeout_s = 300\n\
                        [pools.inference]\nworkers = 1\n";

/// Executed until there is this file.
const WAIT: &str = r#"
def wait(path):
    while not os.path.exists(path):
        time.sleep(0.02)
    return True
"#;

/// Each project has a pool of its own in each class.
fn call(subject: &Subject, class: &str, project: &Project, arguments: &[&str]) -> Dspex {
    let call = subject.home.dspex(&["pool", "call", class]).directory(project.directory());
    call.args(arguments).args(["-o", "json"])
}

/// The statistics of a project's general pool.
fn stats(subject: &Subject, project: &Project) -> Value {
    let listed = subject.dspex(&["pool", "stats", "general", "-o", "json"]).run().expect(0).object();
    let name = project.directory().file_name().and_then(|name| name.to_str()).expect("a name");
    let is_its = |item: &&Value| item["directory"].as_str().is_some_and(|directory| directory.ends_with(name));
    let items = listed["items"].as_array().expect("items");
    items.iter().find(is_its).cloned().unwrap_or_default()
}

#[test]
fn a_class_that_is_flooded_refuses_calls_keeps_no_other_class_waiting_and_works_again_afterwards() {
    let subject = Subject::with_settings(WAIT, SETTINGS);
    let (flooding, other) = (&subject.project, Project::new(WAIT));
    call(&subject, "inference", flooding, &["ping", "0"]).run().expect(0);

    // As many slow calls as the class has processes for, and as many as may wait behind them.
    let arguments = json!({"path": flooding.path("over")}).to_string();
    let slow =
        || call(&subject, "general", flooding, &["program.py:wait", &arguments, "--queue-timeout", "300"]).start();
    let executed = [slow(), slow()];
    assert!(holds_within(PATIENCE, || stats(&subject, flooding)["busy"] == json!(2)), "{}", subject.home.log());
    let waiting = [slow(), slow(), slow()];
    assert!(holds_within(PATIENCE, || stats(&subject, flooding)["queued"] == json!(3)), "{}", subject.home.log());
    slow().finish().expect(7).says("POOL_FULL").says("queue_max");

    // Another project finds no process in this class, and is told so while the other class goes on answering.
    let mut refused = call(&subject, "general", &other, &["ping", "1"]).start();
    let mut answered = 0;
    while refused.runs() {
        let answer = call(&subject, "inference", flooding, &["ping", "2"]).run().expect(0).object();
        assert_eq!(answer["payload"], json!(2), "{answer}");
        answered += 1;
    }
    let refused = refused.finish().expect(7);
    refused.says("POOL_FULL").says("all 2 Python processes").says("the class general").says("processes_max");
    assert!(answered > 0, "the control: nobody was asked meanwhile");
    // Whoever has less time does not wait longer.
    let hasty = call(&subject, "general", &other, &["ping", "1", "--queue-timeout", "0.3"]).run().expect(7);
    hasty.says("POOL_FULL").says("within 0.3 s");
    assert!(hasty.took < refused.took, "{:?} and {:?}", hasty.took, refused.took);
    let counted = stats(&subject, &other);
    assert_eq!((&counted["errors"], &counted["queue_timeouts"]), (&json!(0), &json!(2)), "{counted}");

    // The flood is over: nothing of it is lost, and its warm workers give way to those who have none.
    flooding.file("over", "");
    for call in executed.into_iter().chain(waiting) {
        assert_eq!(call.finish().expect(0).object(), json!(true));
    }
    for project in [&other, flooding] {
        let works = || call(&subject, "general", project, &["ping", "3"]).run().code == Some(0);
        assert!(holds_within(PATIENCE, works), "{}", subject.home.log());
    }
}
