//! With real processes: what is registered dies, and its neighbours live.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::Duration;

use super::*;
use crate::environment::INSTANCE_VARIABLE;

/// A shell that leads its own group and runs a command.
fn start(script: &str, instance: Option<&str>) -> Child {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).process_group(0).env_remove(INSTANCE_VARIABLE);
    if let Some(instance) = instance {
        command.env(INSTANCE_VARIABLE, instance);
    }
    command.spawn().expect("a shell")
}

fn fingerprint(child: &Child) -> Fingerprint {
    Fingerprint::of(child.id()).expect("a running child")
}

fn was_killed(child: &mut Child) -> bool {
    use std::os::unix::process::ExitStatusExt;
    for _ in 0..200 {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            return status.signal() == Some(9);
        }
        sleep(Duration::from_millis(5));
    }
    false
}

fn end(mut child: Child) {
    child.kill().expect("a child of ours");
    child.wait().expect("a child of ours");
}

fn registry() -> (tempfile::TempDir, Registry) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let registry = Registry::open(directory.path(), "crashed").expect("opens");
    (directory, registry)
}

#[test]
fn a_registered_process_is_killed_and_forgotten() {
    let (directory, registry) = registry();
    let mut child = start("sleep 100; true", Some("crashed"));
    registry.add(ProcessKind::Worker, Some("w1"), "pool/w1", fingerprint(&child)).expect("added");
    assert_eq!(registry.entries().expect("readable").len(), 1);

    let cleanup = clean_up_orphans(directory.path()).expect("cleans up");
    assert!(cleanup.killed.contains(&child.id()), "{cleanup:?}");
    assert_eq!(cleanup.registered[0].worker.as_deref(), Some("w1"));
    assert!(cleanup.surviving.is_empty());
    assert!(was_killed(&mut child));
    assert_eq!(fs::read_dir(directory.path()).expect("readable").count(), 0);
}

#[test]
fn another_process_with_the_same_pid_survives() {
    let (directory, registry) = registry();
    let child = start("exec sleep 100", None);
    let earlier = Fingerprint { start_ticks: fingerprint(&child).start_ticks - 1, ..fingerprint(&child) };
    registry.add(ProcessKind::Worker, Some("w1"), "pool/w1", earlier).expect("added");

    let cleanup = clean_up_orphans(directory.path()).expect("cleans up");
    assert_eq!(cleanup.killed, Vec::<u32>::new());
    assert!(fingerprint(&child).is_running());
    end(child);
}

#[test]
fn a_process_of_another_boot_survives() {
    let (directory, registry) = registry();
    let child = start("exec sleep 100", Some("crashed"));
    registry.add(ProcessKind::Zygote, None, "zygotes", fingerprint(&child)).expect("added");
    let path = directory.path().join(file_name(fingerprint(&child)));
    let text = fs::read_to_string(&path).expect("readable").replace(boot_id(), "another-boot");
    fs::write(&path, text).expect("written");

    assert_eq!(clean_up_orphans(directory.path()).expect("cleans up").killed, Vec::<u32>::new());
    assert!(fingerprint(&child).is_running());
    end(child);
}

/// Starts a leader with one child in its group, then ends the leader: the child stays behind in a group of that number.
fn group_without_leader(instance: Option<&str>) -> (Fingerprint, Fingerprint) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join("pid");
    let script = format!("sleep 100 & echo $! > {}; exec sleep 100", file.display());
    let leader = start(&script, instance);
    let registered = fingerprint(&leader);
    let pid = loop {
        match fs::read_to_string(&file).unwrap_or_default().trim().parse() {
            Ok(pid) => break pid,
            Err(_) => sleep(Duration::from_millis(5)),
        }
    };
    let member = Fingerprint::of(pid).expect("the leader's child");
    // The kernel shows the shell's environment until the child has become `sleep`.
    sleep(Duration::from_millis(50));
    end(leader);
    (registered, member)
}

#[test]
fn a_child_left_in_the_group_is_known_by_its_instance() {
    let (directory, registry) = registry();
    let (leader, member) = group_without_leader(Some("crashed"));
    registry.add(ProcessKind::Worker, Some("w1"), "pool/w1", leader).expect("added");
    let cleanup = clean_up_orphans(directory.path()).expect("cleans up");
    assert_eq!(cleanup.killed, [member.pid]);
    assert!(!member.is_running());
}

#[test]
fn a_member_of_a_reused_group_number_survives() {
    let (directory, registry) = registry();
    let (leader, member) = group_without_leader(Some("another instance"));
    registry.add(ProcessKind::Worker, Some("w1"), "pool/w1", leader).expect("added");
    assert_eq!(clean_up_orphans(directory.path()).expect("cleans up").killed, Vec::<u32>::new());
    assert!(member.is_running());
    assert!(member.kill());
}

#[test]
fn rubbish_is_removed_and_a_missing_directory_is_no_error() {
    let (directory, _registry) = registry();
    fs::write(directory.path().join("1-1.json"), "{\"half\":").expect("written");
    fs::write(directory.path().join("2-2.new"), "{}").expect("written");
    assert_eq!(clean_up_orphans(directory.path()).expect("cleans up"), Cleanup::default());
    assert_eq!(fs::read_dir(directory.path()).expect("readable").count(), 0);
    assert_eq!(clean_up_orphans(&directory.path().join("none")).expect("nothing there"), Cleanup::default());
}
