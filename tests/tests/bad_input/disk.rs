//! A full disk: a start is refused, a run under way stops, and what was recorded is there when there is space again.

use std::fs;

use dspex_tests::{Home, Mount, Project, skip};

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
