//! A full disk: a start is refused, a run under way stops, and what was recorded is there when there is space again.

use std::fs;
use std::time::Duration;

use dspex_api::v1::RunStatus;
use dspex_tests::{Home, Mount, Project, holds_within, process, skip};

/// Predictions of 400 kB, because RocksDB reserves space for its logs beforehand.
const PROGRAM: &str = r#"
import random

class Program(dspy.Module):
    def forward(self, n):
        count(n)
        time.sleep(float(os.environ.get("PAUSE", "0.02")))
        return dspy.Prediction(text=random.Random(n).randbytes(200_000).hex())

program = Program()

def metric(example, prediction):
    return example.n % 3 / 2
"#;

#[test]
fn a_start_on_a_full_disk_is_refused_and_keeps_its_runs() {
    let mount = match Mount::tmpfs(256) {
        Ok(mount) => mount,
        Err(why) => return skip("a_start_on_a_full_disk_is_refused_and_keeps_its_runs", &why),
    };
    let (home, project) = (Home::below(mount.path()), Project::new(PROGRAM));
    project.numbers(10);
    let result = home.eval(&project).result();
    home.dspex(&["local", "stop"]).run().expect(0);
    let filler = mount.fill(2000);
    home.dspex(&["run", "list"]).run().expect(7).says("no space left").says("STORAGE_FULL");
    let filled = mount.path().join("nothing-left");
    fs::write(&filled, vec![0; 1_990_000]).expect("the rest");
    let refused = home.dspex(&["run", "list"]).run();
    assert!(matches!(refused.code, Some(6 | 7)), "{}", refused.describe());
    fs::remove_file(filled).expect("removed");
    fs::remove_file(filler).expect("removed");
    let kept = home.dspex(&["run", "list", "-o", "json"]).run().expect(0).object();
    assert_eq!(kept["items"][0]["digest"], result["digest"]);
}

#[test]
fn a_disk_that_fills_up_stops_the_run_and_loses_nothing() {
    // Room for the calm run, whose blobs go some time after it was deleted, and for the other one with its logs.
    let mount = match Mount::tmpfs(800) {
        Ok(mount) => mount,
        Err(why) => return skip("a_disk_that_fills_up_stops_the_run_and_loses_nothing", &why),
    };
    let (home, project) = (Home::below(mount.path()), Project::new(PROGRAM));
    project.numbers(400);
    let calm = home.eval(&project).env("PAUSE", "0").result();
    home.dspex(&["run", "delete", calm["run_id"].as_str().expect("an id"), "--yes"]).run().expect(0);
    project.forget_executions();

    // The disk fills up while the run is under way.
    let mut eval = home.eval(&project).env("PAUSE", "0.2").start();
    let run = home.wait_for_results(40);
    let node = home.node();
    let filler = mount.fill(0);
    // The blobs of the run that was deleted go at some time, and must not make room for this one.
    while eval.runs() {
        mount.fill_again();
        std::thread::sleep(Duration::from_millis(20));
    }
    let ended = eval.finish();
    assert_eq!(ended.code, Some(7), "a full disk is a limit\n{}", ended.describe());
    ended.says(&format!("dspex run resume {}", run.run_id));
    let told = ended.stderr.to_lowercase();
    assert!(told.contains("space") || told.contains("full"), "the reason is told\n{}", ended.describe());

    // With space again, every result that was shown is there, and the rest is executed.
    fs::remove_file(filler).expect("removed");
    assert!(holds_within(Duration::from_secs(30), || !process::runs(node)), "the node lives on with a broken store");
    home.dspex(&["run", "list"]).run().expect(0);
    let before = home.run(&run.run_id);
    assert!(before.done >= 40, "{} of 40 results are there", before.done);
    let recorded: Vec<u32> = home
        .dspex(&["run", "results", &run.run_id, "-o", "jsonl"])
        .run()
        .expect(0)
        .objects()
        .iter()
        .filter_map(|row| u32::try_from(row["index"].as_u64()?).ok())
        .collect();
    let executed = project.executions();
    if before.status() == RunStatus::Running {
        home.dspex(&["run", "cancel", &run.run_id]).run().expect(0);
    }
    let resumed = home.eval(&project).args(["--resume"]).result();
    assert_eq!((&resumed["score"], &resumed["digest"]), (&calm["score"], &calm["digest"]));
    let again = project.executions().since(&executed);
    assert!(recorded.iter().all(|&example| again.of(example) == 0), "recorded results were executed again");
}
