//! From nothing to workers that answer, and interpreters that cannot serve.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use dspex_python::protocol::RefusedKind;
use dspex_python::{Environment, Limits, StartError, WorkerProcess, Zygote};

use crate::support::{Runtime, environment, interpreter, ping};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_workers_of_one_zygote_answer() {
    let runtime = Runtime::new();
    let started = Instant::now();
    let zygote = runtime.zygote().await;
    eprintln!("zygote ready in {:?}: {:?}", started.elapsed(), zygote.ready());
    assert_eq!(zygote.ready().pid, zygote.fingerprint().pid);

    let mut workers = Vec::new();
    for round in 0..5 {
        let started = Instant::now();
        workers.push(eight(&zygote, round, runtime.directory.path()).await);
        eprintln!("8 workers said hello and answered in {:?}", started.elapsed());
    }
    assert_eq!(zygote.workers(), 40);
    assert_eq!(runtime.registry.entries().expect("readable").len(), 41);
    runtime.zygotes.stop().await;
    assert!(!zygote.is_alive());
    assert!(workers.iter().flatten().all(|worker| !worker.handle.fingerprint().is_running()));
    assert_eq!(runtime.registry.entries().expect("readable"), []);
}

async fn eight(zygote: &Zygote, round: usize, directory: &Path) -> Vec<WorkerProcess> {
    let forks: Vec<_> = (0..8)
        .map(|number| {
            let (zygote, directory) = (zygote.clone(), directory.to_path_buf());
            tokio::spawn(async move {
                let id = format!("w{round}-{number}");
                let mut worker = zygote.fork(&id, &environment(), &directory, "pool").await.expect("a worker");
                ping(&mut worker).await;
                worker
            })
        })
        .collect();
    let mut workers = Vec::new();
    for fork in forks {
        workers.push(fork.await.expect("no panic"));
    }
    workers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_callers_share_one_start_and_a_third_with_other_settings_does_not() {
    let runtime = Runtime::new();
    let (first, second) = tokio::join!(runtime.zygote(), runtime.zygote());
    assert_eq!(first.fingerprint(), second.fingerprint());
    let mut other = environment();
    other.insert("PYTHONHASHSEED".to_owned(), "7".to_owned());
    let third = runtime.zygotes.zygote(&interpreter(), &other).await.expect("a zygote");
    assert_ne!(first.fingerprint(), third.fingerprint());
    assert_eq!(runtime.zygotes.running().len(), 2);
    runtime.zygotes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_zygote_makes_room_and_a_busy_one_does_not() {
    let runtime = Runtime::with_limits(Limits { zygotes: 1, ..Limits::default() });
    let worker = runtime.worker("w1").await;
    let mut other = environment();
    other.insert("PYTHONHASHSEED".to_owned(), "7".to_owned());
    let refused = runtime.zygotes.zygote(&interpreter(), &other).await;
    assert_eq!(refused.err(), Some(StartError::TooMany(1)));
    let first = runtime.zygote().await;
    drop(worker);
    crate::support::eventually("the worker is reaped", || first.workers() == 0).await;
    runtime.zygotes.zygote(&interpreter(), &other).await.expect("a zygote in its place");
    assert_eq!(runtime.zygotes.running().len(), 1);
    let process = first.fingerprint();
    drop(first);
    crate::support::eventually("the first one stops", || !process.is_running()).await;
    runtime.zygotes.stop().await;
}

#[tokio::test]
async fn an_interpreter_without_dspy_is_refused_with_advice() {
    let runtime = Runtime::new();
    let venv = runtime.directory.path().join("bare");
    let made =
        Command::new(interpreter()).args(["-m", "venv", "--without-pip"]).arg(&venv).status().expect("python runs");
    assert!(made.success());
    match runtime.zygotes.zygote(&venv.join("bin/python"), &environment()).await {
        // Without msgspec it cannot even say so in a frame.
        Err(StartError::Refused { kind: RefusedKind::DspyMissing | RefusedKind::DependencyMissing, message }) => {
            assert!(message.contains("pip install"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(runtime.registry.entries().expect("readable"), []);
}

/// An executable that stands in for an interpreter.
fn script(directory: &Path, text: &str) -> PathBuf {
    let path = directory.join("python");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
    path
}

#[tokio::test]
async fn what_is_no_python_fails_with_what_it_printed() {
    let runtime = Runtime::with_limits(Limits { start: Duration::from_millis(500), ..Limits::default() });
    let start = async |path: &Path| runtime.zygotes.zygote(path, &Environment::new()).await.expect_err("must fail");
    let missing = start(Path::new("/nowhere/python")).await.to_string();
    assert!(missing.contains("/nowhere/python could not be started: No such file"), "{missing}");

    let fails = script(runtime.directory.path(), "echo Segmentation fault; exit 7");
    let text = start(&fails).await.to_string();
    assert!(text.contains("exit status: 7") && text.contains("Segmentation fault"), "{text}");

    let hangs = script(runtime.directory.path(), "echo still importing; exec sleep 100");
    let error = start(&hangs).await;
    assert!(matches!(&error, StartError::TimedOut { output, .. } if output == "still importing\n"), "{error:?}");
}
