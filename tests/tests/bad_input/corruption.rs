//! Damaged files: a node either has everything or says what is damaged. It never starts with less than was acknowledged.

use std::fs;
use std::path::{Path, PathBuf};

use dspex_tests::{Home, Project};
use serde_json::Value;

const PROGRAM: &str = r#"
class Program(dspy.Module):
    def forward(self, n):
        return dspy.Prediction(word=f"word {n} of many")
program = Program()
def metric(example, prediction):
    return example.n % 2
"#;

#[derive(Debug, Clone, Copy)]
enum Damage {
    /// Bits in the middle are turned over.
    Flip,
    /// The second half is gone.
    Cut,
    /// The file is gone.
    Remove,
}

#[test]
fn a_damaged_file_is_told_or_mended_and_never_loses_a_run() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(300);
    let runs: Vec<Value> = (0..2).map(|_| home.eval(&project).result()).collect();
    // kill -9 leaves the files as a crash does: entries in RocksDB's own logs, not in tables.
    home.kill_node();
    let pristine = project.path("pristine");
    copy(&home.data(), &pristine);

    let mut seen = Vec::new();
    for file in files(&pristine) {
        for damage in [Damage::Flip, Damage::Cut, Damage::Remove] {
            fs::remove_dir_all(home.data()).expect("removed");
            copy(&pristine, &home.data());
            if !apply(damage, &home.data().join(&file)) {
                continue;
            }
            seen.push(format!("{damage:?} {}: {}", file.display(), judge(&home, &runs)));
        }
    }
    for line in &seen {
        eprintln!("{line}");
    }
    let lost: Vec<&String> = seen.iter().filter(|line| line.contains("LOST")).collect();
    assert!(lost.is_empty(), "a node started with less than it had acknowledged:\n{lost:#?}");
    let unclear: Vec<&String> = seen.iter().filter(|line| line.contains("UNCLEAR")).collect();
    assert!(unclear.is_empty(), "the damage is not told as one:\n{unclear:#?}");
    assert!(seen.iter().any(|line| line.ends_with("refused")), "the control: no damage was seen at all");

    // The pristine copy still opens.
    fs::remove_dir_all(home.data()).expect("removed");
    copy(&pristine, &home.data());
    assert_eq!(judge(&home, &runs), "complete");
}

/// "complete", "refused", or what is wrong.
fn judge(home: &Home, runs: &[Value]) -> String {
    let listed = home.dspex(&["run", "list", "-o", "json"]).run();
    let verdict = match listed.code {
        Some(0) => results(home, &listed.object()["items"], runs),
        Some(6) if listed.stderr.contains("DATA_DIRECTORY_CORRUPT") => "refused".to_owned(),
        _ => format!("UNCLEAR\n{}", listed.describe()),
    };
    for pid in home.nodes() {
        dspex_tests::process::kill(pid);
        dspex_tests::process::ends_within(pid, std::time::Duration::from_secs(5));
    }
    verdict
}

fn results(home: &Home, items: &Value, runs: &[Value]) -> String {
    for run in runs {
        let id = run["run_id"].as_str().expect("an id");
        let Some(found) = items.as_array().and_then(|items| items.iter().find(|item| item["run_id"] == run["run_id"]))
        else {
            return format!("LOST run {id}");
        };
        if found["digest"] != run["digest"] || found["score"] != run["score"] {
            return format!("LOST the result of run {id}: {found}");
        }
        // Predictions lie in another database, whose damage is seen when they are read.
        let read = home.dspex(&["run", "results", id, "-o", "jsonl"]).run();
        match read.code {
            Some(0) => {
                let rows = read.objects();
                let right = |(n, row): (usize, &Value)| row["prediction"]["word"] == format!("word {n} of many");
                if rows.len() != 300 || !rows.iter().enumerate().all(right) {
                    return format!("LOST predictions of run {id}");
                }
            }
            Some(1) if read.stderr.contains("STORAGE_FAILED") => return "told when it is read".to_owned(),
            _ => return format!("UNCLEAR\n{}", read.describe()),
        }
    }
    "complete".to_owned()
}

/// False where the damage would change nothing.
fn apply(damage: Damage, path: &Path) -> bool {
    let mut bytes = fs::read(path).expect("a file");
    match damage {
        Damage::Flip if bytes.len() > 8 => {
            let middle = bytes.len() / 2;
            bytes[middle - 4..middle + 4].iter_mut().for_each(|byte| *byte ^= 0xff);
            fs::write(path, bytes).is_ok()
        }
        Damage::Cut if bytes.len() > 8 => {
            bytes.truncate(bytes.len() / 2);
            fs::write(path, bytes).is_ok()
        }
        Damage::Remove => fs::remove_file(path).is_ok(),
        _ => false,
    }
}

/// What the node's own state is in; logs for people and locks are not.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).expect("a directory").flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                open.push(path);
            } else if !name.starts_with("LOG") && !name.starts_with("LOCK") && !name.starts_with("OPTIONS") {
                found.push(path.strip_prefix(directory).expect("below").to_owned());
            }
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}
