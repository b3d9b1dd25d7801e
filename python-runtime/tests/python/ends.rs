//! Every way in which a worker ends: reported once, last, and truly.

use std::time::Duration;

use dspex_python::protocol::FromWorker;
use dspex_python::{EndReason, Ended, Fingerprint, ForkError, WorkerProcess};

use crate::support::{Runtime, end_of, eventually, kill, load, next_frame, ping, send_load};

/// Loads a program whose import does something, and returns the end that this brings about.
async fn end_by_import(source: &str) -> Ended {
    let runtime = Runtime::new();
    let program = runtime.program(source);
    let mut worker = runtime.worker("w1").await;
    send_load(&worker, load(&program)).await;
    let ended = end_of(&mut worker).await;
    assert!(!worker.handle.fingerprint().is_running());
    eventually("only the zygote is registered", || runtime.registry.entries().expect("readable").len() == 1).await;
    runtime.zygotes.stop().await;
    ended
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_from_outside() {
    let runtime = Runtime::new();
    let mut worker = runtime.worker("w1").await;
    let mut neighbour = runtime.worker("w2").await;
    kill(worker.handle.pid());
    let ended = end_of(&mut worker).await;
    assert_eq!(ended, Ended { code: None, signal: Some(9), reason: EndReason::Exited });
    ping(&mut neighbour).await;
    runtime.zygotes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_by_its_owner() {
    let runtime = Runtime::new();
    let mut worker = runtime.worker("w1").await;
    worker.handle.kill();
    worker.handle.kill();
    let ended = end_of(&mut worker).await;
    assert_eq!(ended, Ended { code: None, signal: Some(9), reason: EndReason::Killed });
    worker.handle.kill();
    runtime.zygotes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_though_its_zygote_does_not_answer() {
    let runtime = Runtime::new();
    let mut worker = runtime.worker("w1").await;
    let zygote = runtime.zygote().await;
    let pid = rustix::process::Pid::from_raw(zygote.fingerprint().pid.cast_signed()).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("stopped");
    worker.handle.kill();
    let ended = end_of(&mut worker).await;
    assert_eq!(ended.reason, EndReason::Unreported);
    assert!(!worker.handle.fingerprint().is_running());
    kill(zygote.fingerprint().pid);
    zygote.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_up_by_its_owner() {
    let runtime = Runtime::new();
    let WorkerProcess { handle, events, .. } = runtime.worker("w1").await;
    let process = handle.fingerprint();
    drop(events);
    eventually("the worker is gone", || !process.is_running()).await;

    let WorkerProcess { handle, mut events, .. } = runtime.worker("w2").await;
    drop(handle);
    let event = events.recv().await.expect("an end");
    let expected = Ended { code: Some(0), signal: None, reason: EndReason::Exited };
    assert_eq!(event, dspex_python::WorkerEvent::Ended(expected));
    runtime.zygotes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exit_in_the_users_code_shows_its_code() {
    let ended = end_by_import("import os\nos._exit(7)\n").await;
    assert_eq!(ended, Ended { code: Some(7), signal: None, reason: EndReason::Exited });
}

/// Finds the worker's socket as hostile or careless code would.
const SOCKETS: &str = "
import os, stat, time
sockets = [n for n in range(3, 1024) if os.path.exists(f'/proc/self/fd/{n}') and stat.S_ISSOCK(os.stat(n).st_mode)]
assert sockets
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_socket_ends_a_worker_that_goes_on() {
    let source = format!(
        "{SOCKETS}\nimport socket\nfor n in sockets:\n    socket.socket(fileno=os.dup(n)).shutdown(socket.SHUT_WR)\n\
         while True: time.sleep(1)\n"
    );
    let ended = end_by_import(&source).await;
    assert_eq!(ended, Ended { code: None, signal: Some(9), reason: EndReason::ClosedSocket });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_on_the_socket_ends_the_worker() {
    let source = format!("{SOCKETS}\nfor n in sockets: os.write(n, b'\\x01\\0\\0\\0\\xc1')\ntime.sleep(100)\n");
    let ended = end_by_import(&source).await;
    assert_eq!((ended.code, ended.signal), (None, Some(9)));
    assert!(matches!(ended.reason, EndReason::Malformed(_)), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_zygote_takes_its_workers_and_their_children_and_is_started_anew() {
    let runtime = Runtime::new();
    let program = runtime.program(
        "import dspy, subprocess\nchild = subprocess.Popen(['sleep', '1000'])\n\
         class P(dspy.Module):\n    def forward(self, q): return dspy.Prediction(a=q)\n\
         program = P()\nprogram.pid = child.pid\nopen('child.pid', 'w').write(str(child.pid))\n",
    );
    let mut workers = Vec::new();
    for number in 0..4 {
        workers.push(runtime.worker(&format!("w{number}")).await);
    }
    let mut with_inputs = load(&program);
    with_inputs.inputs = Some(vec!["q".to_owned()]);
    with_inputs.columns = Some(vec!["q".to_owned()]);
    send_load(&workers[0], with_inputs).await;
    match next_frame(&mut workers[0]).await {
        FromWorker::Loaded(_) | FromWorker::LoadFailed(_) => {}
        other => panic!("{other:?}"),
    }
    let child = std::fs::read_to_string(runtime.directory.path().join("child.pid")).expect("the child's pid");
    let child = Fingerprint::of(child.parse().expect("a pid")).expect("the worker's child");

    let zygote = runtime.zygote().await;
    kill(zygote.fingerprint().pid);
    for worker in &mut workers {
        let ended = end_of(worker).await;
        assert!(matches!(ended.reason, EndReason::ZygoteEnded(_)), "{ended:?}");
        assert!(!worker.handle.fingerprint().is_running());
    }
    zygote.ended().await;
    assert!(!child.is_running());
    assert_eq!(runtime.registry.entries().expect("readable"), []);

    let anew = runtime.zygote().await;
    assert_ne!(anew.fingerprint(), zygote.fingerprint());
    let mut worker = runtime.worker("w9").await;
    ping(&mut worker).await;
    runtime.zygotes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fork_that_is_abandoned_leaves_nothing() {
    let runtime = Runtime::new();
    let zygote = runtime.zygote().await;
    for number in 0..50 {
        let id = format!("w{number}");
        let environment = crate::support::environment();
        let fork = zygote.fork(&id, &environment, runtime.directory.path(), "test");
        let _ = tokio::time::timeout(Duration::from_micros(100 * number), fork).await;
    }
    eventually("no worker is left", || zygote.workers() == 0).await;
    assert_eq!(runtime.registry.entries().expect("readable").len(), 1);
    runtime.zygotes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zygote_that_hangs_is_killed_and_replaced() {
    let runtime = Runtime::new();
    let mut worker = runtime.worker("w1").await;
    let zygote = runtime.zygote().await;
    let pid = rustix::process::Pid::from_raw(zygote.fingerprint().pid.cast_signed()).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("stopped");
    let fork = zygote.fork("w2", &crate::support::environment(), runtime.directory.path(), "test").await;
    assert!(matches!(fork, Err(ForkError::ZygoteEnded(_))), "{fork:?}");
    assert!(matches!(end_of(&mut worker).await.reason, EndReason::ZygoteEnded(_)));
    let mut worker = runtime.worker("w3").await;
    ping(&mut worker).await;
    runtime.zygotes.stop().await;
}
