//! `dspex run list|show|results|delete`: what is kept, and that it can be got rid of.

use dspex_api::reason;
use dspex_tests::{Home, Project, expect_fields, python};
use serde_json::{Value, json};

const PROGRAM: &str = r#"
class Program(dspy.Module):
    def forward(self, n):
        return dspy.Prediction(word=f"word {n}")
program = Program()
def metric(example, prediction):
    return example.n % 2
"#;

#[test]
fn runs_are_listed_shown_and_read_and_survive_a_restart() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(10);
    let nothing = home.dspex(&["run", "list", "-o", "json"]).run().expect(0).object();
    expect_fields(&nothing, json!({"items": [], "truncated": false}));
    let ids: Vec<Value> = (0..3).map(|_| home.eval(&project).result()["run_id"].clone()).collect();

    let listed = || home.dspex(&["run", "list", "-o", "json"]).run().expect(0).object();
    let before = listed();
    let found: Vec<&Value> = all(&before).iter().map(|run| &run["run_id"]).collect();
    assert_eq!(found, ids.iter().rev().collect::<Vec<_>>(), "newest first");
    assert_eq!(before["counts"]["finished"], 3, "{before}");

    // kill -9 changes nothing of what was acknowledged.
    home.kill_node();
    let after = listed();
    for (before, after) in all(&before).iter().zip(all(&after)) {
        for (key, value) in before.as_object().expect("an object") {
            // What is measured, not recorded, may be forgotten; but then it is said so, not 0.
            let forgotten = ["startup_s", "execution_s"].contains(&key.as_str()) && after[key].is_null();
            assert!(after[key] == *value || forgotten, "{key} was {value} and is {} after a restart", after[key]);
        }
    }
    assert_eq!(after["counts"], before["counts"]);
    let id = ids[1].as_str().expect("an id");
    let shown = home.dspex(&["run", "show", id, "-o", "json"]).run().expect(0).object();
    expect_fields(&shown, json!({"run_id": id, "score": 50.0, "program": "program.py:program", "done": 10}));
    let results = home.dspex(&["run", "results", id, "-o", "json"]).run().expect(0).object();
    assert_eq!(results["items"][3]["prediction"]["word"], "word 3", "{results}");
    assert_eq!(results["truncated"], false);
    // A bare noun lists.
    let bare = home.dspex(&["run"]).run().expect(0);
    assert!(bare.stdout.contains(id) && bare.stdout.contains("finished"), "{}", bare.describe());
}

fn all(list: &Value) -> &[Value] {
    list["items"].as_array().expect("a list")
}

#[test]
fn long_lists_are_capped_at_100_unless_all_is_asked_for() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(130);
    let id = home.eval(&project).result()["run_id"].as_str().expect("an id").to_owned();
    let list = |all: Option<&str>| {
        let output = home.dspex(&["run", "results", &id, "-o", "json"]).args(all).run().expect(0).object();
        (output["items"].as_array().map(Vec::len), output["truncated"].clone())
    };
    assert_eq!(list(None), (Some(100), true.into()));
    assert_eq!(list(Some("--all")), (Some(130), false.into()));
}

#[test]
fn unknown_and_ambiguous_ids_exit_with_5() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(4);
    let ids: Vec<String> =
        (0..2).map(|_| home.eval(&project).result()["run_id"].as_str().expect("an id").to_owned()).collect();
    for verb in ["show", "results", "resume", "cancel", "watch"] {
        home.dspex(&["run", verb, "ffffffff"]).run().expect(5).says("ffffffff");
        home.dspex(&["run", verb, "00000000-0000-7000-8000-000000000000"]).run().expect(5);
        let ambiguous = home.dspex(&["run", verb, &ids[0][..2]]).run().expect(5);
        ambiguous.says(&ids[0]).says(&ids[1]);
    }
}

#[test]
fn delete_asks_first_and_frees_the_blobs_of_the_run() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(50);
    let sum = "import hashlib; print(hashlib.sha256(b''.join(b'{\"n\":%d}\\n' % n for n in range(50))).hexdigest())";
    let dataset = python(&project, sum, &[]).expect(0).stdout.trim().to_owned();
    let prediction = "import hashlib; print(hashlib.sha256(b'{\"word\":\"word 7\"}').hexdigest())";
    let prediction = python(&project, prediction, &[]).expect(0).stdout.trim().to_owned();
    let held = |digest: &str| match home.ask(async |client| client.get_blob(digest).await) {
        Ok(bytes) => Some(bytes.len()),
        Err(error) => {
            assert_eq!(error.reason, reason::BLOB_NOT_FOUND, "{error}");
            None
        }
    };
    let ids = [(); 2].map(|()| home.eval(&project).result()["run_id"].as_str().expect("an id").to_owned());
    assert!(held(&dataset).is_some() && held(&prediction).is_some(), "the control: blobs are found by their digest");

    // Without a terminal and without --yes it refuses.
    home.dspex(&["run", "delete", &ids[0]]).run().expect(2).says("--yes");
    assert_eq!(home.runs().len(), 2);

    // The other run has the same blobs: they stay.
    home.dspex(&["run", "delete", &ids[0], "--yes"]).run().expect(0);
    home.dspex(&["run", "show", &ids[0]]).run().expect(5);
    home.dspex(&["run", "results", &ids[0]]).run().expect(5);
    let kept = home.dspex(&["run", "results", &ids[1], "-o", "jsonl"]).run().expect(0).objects();
    assert_eq!(kept.len(), 50);
    assert_eq!(kept[7]["prediction"]["word"], "word 7");

    // With the last run they go.
    home.dspex(&["run", "delete", &ids[1], "--yes"]).run().expect(0);
    let freed = || held(&dataset).is_none() && held(&prediction).is_none();
    assert!(
        dspex_tests::holds_within(std::time::Duration::from_secs(10), freed),
        "the blobs of a deleted run are kept"
    );
    // A deleted run does not come back with its node.
    home.kill_node();
    assert_eq!(home.dspex(&["run", "list", "-o", "json"]).run().expect(0).object()["items"], json!([]));
}

#[test]
fn a_running_run_is_not_deleted() {
    let (home, project) = (Home::new(), Project::new(&PROGRAM.replace("return dspy", "time.sleep(0.1); return dspy")));
    project.numbers(200);
    let eval = home.eval(&project).start();
    let run = home.wait_for_results(8);
    home.dspex(&["run", "delete", &run.run_id, "--yes"]).run().expect(2).says("cancel");
    eval.interrupt();
    eval.finish().expect(130);
    home.dspex(&["run", "delete", &run.run_id, "--yes"]).run().expect(0);
}
