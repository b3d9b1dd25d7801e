//! What an operator sees and does: workers listed, drained, restarted.

use std::time::Duration;

use dspex_tests::holds_within;
use serde_json::{Value, json};

use crate::subject::Subject;

const NAP: &str = "def nap(seconds):\n    time.sleep(seconds)\n    return os.getpid()\n";
const PATIENCE: Duration = Duration::from_secs(30);

fn started(workers: u32) -> Subject {
    let subject = Subject::with_settings(NAP, &format!("[pools.general]\nworkers = {workers}\n"));
    subject.answer(&["ping"]);
    assert!(holds_within(PATIENCE, || ready(&subject).len() == workers as usize), "{:?}", subject.workers());
    subject
}

fn ready(subject: &Subject) -> Vec<Value> {
    subject.workers().into_iter().filter(|worker| worker["state"] == json!("ready")).collect()
}

fn id(worker: &Value) -> String {
    worker["worker"].as_str().expect("an id").to_owned()
}

#[test]
fn workers_are_listed_with_what_they_do_and_take() {
    let subject = started(2);
    let workers = subject.workers();
    for worker in &workers {
        assert_eq!((&worker["pool"], &worker["run_id"]), (&json!("general"), &json!(null)), "{worker}");
        assert!(worker["memory_bytes"].as_u64() > Some(1 << 20), "{worker}");
    }
    let shown = subject.dspex(&["worker", "show", &id(&workers[0]), "-o", "json"]).run().expect(0).object();
    assert_eq!(shown["pid"], workers[0]["pid"]);
    let name = id(&workers[0]);
    let end = &name[name.len() - 8..];
    assert_eq!(subject.dspex(&["worker", "show", end, "-o", "json"]).run().expect(0).object()["worker"], json!(name));
    subject.dspex(&["worker", "show", "python_worker"]).run().expect(5).says("2 workers are meant");
    subject.dspex(&["worker", "show", "nope"]).run().expect(5).says("dspex worker list");
    let table = subject.dspex(&["worker"]).run().expect(0);
    assert!(table.stdout.contains("WORKER") && table.stdout.contains(&name), "{}", table.stdout);
}

#[test]
fn a_drained_worker_finishes_what_it_has_and_its_place_stays_empty_until_it_is_restarted() {
    let subject = started(1);
    let name = id(&subject.workers()[0]);
    let napping = subject.call(&["program.py:nap", r#"{"seconds": 2}"#]).start();
    assert!(holds_within(PATIENCE, || subject.stats()["busy"] == json!(1)));
    let drained = subject.dspex(&["worker", "drain", &name, "-o", "json"]).run().expect(0).object();
    assert_eq!(drained["state"], json!("draining"), "{drained}");
    napping.finish().expect(0);
    assert!(holds_within(PATIENCE, || subject.workers()[0]["state"] == json!("drained")), "{:?}", subject.workers());
    assert_eq!(subject.stats()["drained"], json!(1));
    // At once, because nobody knows when it comes back.
    subject.call(&["ping"]).run().expect(7).says("POOL_DRAINED").says(&format!("dspex worker restart {name}"));
    subject.dspex(&["worker", "restart", &name]).run().expect(0);
    assert_eq!(subject.answer(&["ping", "5"])["payload"], json!(5));
    assert_eq!(subject.stats()["drained"], json!(0));
    // One after the other without a pause, whatever the worker is just doing.
    for _ in 0..5 {
        assert!(holds_within(PATIENCE, || !ready(&subject).is_empty()), "{:?}", subject.workers());
        let name = id(&ready(&subject)[0]);
        for verb in ["drain", "restart"] {
            subject.dspex(&["worker", verb, &name]).run().expect(0);
        }
        assert_eq!(subject.answer(&["ping", "6"])["payload"], json!(6));
    }
}

#[test]
fn a_restarted_worker_is_replaced_and_nobody_waits_longer_for_it() {
    let subject = started(2);
    let name = id(&subject.workers()[0]);
    subject.dspex(&["worker", "restart", &name]).run().expect(0);
    let replaced = || ready(&subject).len() == 2 && subject.workers().iter().all(|worker| id(worker) != name);
    assert!(holds_within(PATIENCE, replaced), "{:?}", subject.workers());
    let stats = subject.stats();
    assert_eq!((stats["restarts"].as_u64(), stats["errors"].as_u64()), (Some(1), Some(0)), "{stats}");
}

#[test]
fn a_forced_restart_runs_the_workers_call_again_elsewhere() {
    let subject = started(2);
    let napping = subject.call(&["program.py:nap", r#"{"seconds": 3}"#]).start();
    let busy = || subject.workers().into_iter().find(|worker| worker["state"] == json!("busy"));
    assert!(holds_within(PATIENCE, || busy().is_some()));
    let worker = busy().expect("it naps");
    subject.dspex(&["worker", "restart", &id(&worker), "--force"]).run().expect(0);
    let other = napping.finish().expect(0).object();
    assert_ne!(other, worker["pid"], "another process answered");
}

#[test]
fn the_workers_of_a_run_are_drained_too_and_the_run_goes_on() {
    let subject = Subject::new(
        "class Slow(dspy.Module):\n    def forward(self, n):\n        time.sleep(0.05)\n        return dspy.Prediction(n=n)\n\nprogram = Slow()\n\ndef metric(example, prediction):\n    return 1.0\n",
    );
    subject.project.numbers(200);
    let running = subject
        .dspex(&["eval", "program.py:program", "--devset", "data.jsonl", "--metric", "metric", "--inputs", "n"])
        .args(["--num-threads", "4", "--workers", "2", "-o", "json"])
        .start();
    let of_run = || -> Vec<Value> {
        subject.workers().into_iter().filter(|worker| worker["completed"].as_u64() > Some(0)).collect()
    };
    assert!(holds_within(PATIENCE, || of_run().len() == 2), "{:?}", subject.workers());
    for verb in ["drain", "restart"] {
        let worker = of_run().into_iter().find(|worker| worker["state"] != json!("draining")).expect("a worker");
        subject.dspex(&["worker", verb, &id(&worker)]).run().expect(0);
        assert!(
            holds_within(PATIENCE, || subject.workers().iter().all(|other| id(other) != id(&worker))),
            "{verb}: {:?}",
            subject.workers()
        );
    }
    let result = running.finish().expect(0).object();
    assert_eq!((result["score"].as_f64(), result["failed"].as_u64()), (Some(100.0), Some(0)), "{result}");
}
