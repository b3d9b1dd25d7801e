//! A home or data directory that cannot be used is left as it is, and told with what to do.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;

use dspex_tests::{Home, Mount, Project, skip};
use rustix::fs::{FlockOperation, flock};

const PROGRAM: &str = r#"
class Program(dspy.Module):
    def forward(self, n):
        return dspy.Prediction(n=n)
program = Program()
def metric(example, prediction):
    return 1
"#;

/// A home with one run, its node stopped.
fn with_a_run(home: &Home, project: &Project) -> String {
    project.numbers(10);
    let id = home.eval(project).result()["run_id"].as_str().expect("an id").to_owned();
    home.dspex(&["local", "stop"]).run().expect(0);
    id
}

/// The run is there, with all its results.
#[track_caller]
fn expect_kept(home: &Home, id: &str) {
    let results = home.dspex(&["run", "results", id, "-o", "jsonl"]).run().expect(0).objects();
    assert_eq!(results.len(), 10);
}

#[test]
fn a_directory_that_another_process_holds_is_refused() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    let id = with_a_run(&home, &project);
    let lock = File::open(home.data().join("LOCK")).expect("the lock's file");
    flock(&lock, FlockOperation::NonBlockingLockExclusive).expect("nobody holds it");
    let refused = home.dspex(&["run", "list"]).run().expect(6);
    refused.says("in use by").says("DATA_DIRECTORY_LOCKED");
    drop(lock);
    expect_kept(&home, &id);
}

#[test]
fn a_directory_of_a_newer_format_is_refused_and_left_alone() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    let id = with_a_run(&home, &project);
    let path = home.data().join("FORMAT");
    let format = fs::read_to_string(&path).expect("the format");
    let newer = format.replace("format = 1", "format = 99");
    assert_ne!(newer, format);
    fs::write(&path, &newer).expect("written");
    let refused = home.dspex(&["run", "list"]).run().expect(6);
    refused.says("format 99").says("newer dspex").says("DATA_DIRECTORY_NEWER");
    home.eval(&project).run().expect(6).says("DATA_DIRECTORY_NEWER");
    assert_eq!(fs::read_to_string(&path).expect("the format"), newer, "it was changed");
    fs::write(&path, format).expect("written");
    expect_kept(&home, &id);
}

#[test]
fn a_directory_of_a_cluster_or_of_somebody_else_is_refused() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    let id = with_a_run(&home, &project);
    let path = home.data().join("FORMAT");
    let format = fs::read_to_string(&path).expect("the format");
    fs::write(&path, format.replace("kind = embedded", "kind = cluster")).expect("written");
    home.dspex(&["run", "list"]).run().expect(6).says("cluster");
    fs::write(&path, "something else entirely\n").expect("written");
    home.dspex(&["run", "list"]).run().expect(6).says("FORMAT").says("DATA_DIRECTORY_CORRUPT");
    // Without the file nothing tells whose it is: entries of a log do not make a new directory.
    fs::remove_file(&path).expect("removed");
    home.dspex(&["run", "list"]).run().expect(6).says("FORMAT").says("DATA_DIRECTORY_CORRUPT");
    fs::write(&path, format).expect("written");
    expect_kept(&home, &id);

    let other = Home::new();
    fs::create_dir_all(other.data()).expect("a directory");
    fs::set_permissions(other.path(), Permissions::from_mode(0o700)).expect("a mode");
    fs::write(other.data().join("thesis.txt"), "years of work").expect("a file");
    other.dspex(&["run", "list"]).run().expect(6).says("thesis.txt");
    assert_eq!(fs::read_dir(other.data()).expect("a directory").count(), 1, "nothing was added");
}

#[test]
fn a_home_that_others_may_enter_or_that_is_a_file_is_refused() {
    let home = Home::new();
    fs::create_dir(home.path()).expect("a directory");
    fs::write(home.path().join("mine"), "").expect("a file");
    fs::set_permissions(home.path(), Permissions::from_mode(0o755)).expect("a mode");
    home.dspex(&["run", "list"]).run().expect(6).says("open to other users").says("chmod 700");
    fs::remove_dir_all(home.path()).expect("removed");
    fs::write(home.path(), "a file").expect("a file");
    home.dspex(&["run", "list"]).run().expect(6).says("not a directory");
    fs::remove_file(home.path()).expect("removed");
    // Made by the program, it is private.
    home.dspex(&["run", "list"]).run().expect(0);
    assert_eq!(fs::metadata(home.path()).expect("a home").permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_read_only_directory_is_refused_and_keeps_its_runs() {
    let mount = match Mount::tmpfs(256) {
        Ok(mount) => mount,
        Err(why) => return skip("a_read_only_directory_is_refused_and_keeps_its_runs", &why),
    };
    let (home, project) = (Home::below(mount.path()), Project::new(PROGRAM));
    let id = with_a_run(&home, &project);
    mount.read_only(true);
    home.dspex(&["run", "list"]).run().expect(6).says("Read-only file system");
    home.eval(&project).run().expect(6).says("Read-only file system");
    mount.read_only(false);
    expect_kept(&home, &id);
}
