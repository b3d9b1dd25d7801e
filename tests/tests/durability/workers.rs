//! kill -9 of workers and of their zygote: the run goes on by itself.

use dspex_tests::{process, wait_until};

use crate::subject::{REPEATED_SLOW, Subject};

#[test]
fn a_run_survives_kill_9_of_its_workers() {
    let subject = Subject::new(240);
    let calm = subject.undisturbed();
    let eval = subject.eval().start();
    let mut deaths = 0;
    for results in [40, 110, 180] {
        let run = subject.home.wait_for_results(results);
        let workers = subject.home.workers();
        let busy = workers.iter().filter(|worker| worker.run_id == run.run_id && worker.pid > 0);
        let victim = busy.max_by_key(|worker| worker.in_flight).expect("a worker executes the run");
        process::kill(victim.pid);
        deaths += 1;
    }
    let disturbed = eval.finish().expect(0).object();
    subject.expect_same(&calm, &disturbed, deaths * REPEATED_SLOW);
}

#[test]
fn a_run_survives_kill_9_of_its_zygote() {
    let subject = Subject::new(240);
    let calm = subject.undisturbed();
    let eval = subject.eval().start();
    subject.home.wait_for_results(60);
    let zygotes = subject.home.zygotes();
    let workers = subject.home.workers();
    for zygote in &zygotes {
        process::kill(zygote.pid);
    }
    for worker in &workers {
        assert!(process::ends_within(worker.pid, std::time::Duration::from_secs(2)), "a worker outlived its zygote");
    }
    wait_until("another zygote serves", std::time::Duration::from_secs(30), || {
        let now = subject.home.zygotes();
        now.iter().any(|zygote| zygotes.iter().all(|old| old.pid != zygote.pid)).then_some(())
    });
    let disturbed = eval.finish().expect(0).object();
    subject.expect_same(&calm, &disturbed, REPEATED_SLOW);
}
