//! Several deaths in a row, at moments that a seed decides.

use std::time::Duration;

use dspex_api::v1::RunStatus;
use dspex_tests::{Running, Seed, process, wait_until};

use crate::subject::{REPEATED_SLOW, Subject};

const EXAMPLES: u32 = 400;
const DEATHS: u32 = 6;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Node,
    Command,
    Worker,
    Zygote,
}

#[test]
fn any_order_of_deaths_leads_to_the_undisturbed_result() {
    let subject = Subject::new(EXAMPLES);
    let calm = subject.undisturbed();
    let mut seed = Seed::new();
    let mut eval = subject.eval().start();
    let mut happened = Vec::new();
    let mut least = 0;
    while (happened.len() as u32) < DEATHS {
        least += 5 + seed.below(35) as u32;
        let victim = [Victim::Node, Victim::Command, Victim::Worker, Victim::Zygote][seed.below(4) as usize];
        let Some(done) = done(&subject, least) else { break };
        least = least.max(done);
        eval = strike(&subject, eval, victim);
        happened.push((victim, done));
    }
    eprintln!("{happened:?}");
    assert!(happened.len() >= 3, "the run was over before anything could die: {happened:?}");
    let disturbed = eval.finish().expect(0).object();
    subject.expect_same(&calm, &disturbed, happened.len() as u32 * REPEATED_SLOW);
    let run = subject.home.run(disturbed["run_id"].as_str().expect("an id"));
    assert_eq!(run.done, EXAMPLES);
}

/// Waits for so many results of the run under way; nothing when it has finished before.
fn done(subject: &Subject, least: u32) -> Option<u32> {
    wait_until(&format!("{least} results are recorded"), Duration::from_secs(60), || {
        // The first of the two runs is the undisturbed one.
        let runs = subject.home.runs();
        let [run, _] = runs.as_slice() else { return None };
        match run.status() {
            RunStatus::Running if run.done >= least => Some(Some(run.done)),
            RunStatus::Finished => Some(None),
            _ => None,
        }
    })
}

fn strike(subject: &Subject, eval: Running, victim: Victim) -> Running {
    let again = || subject.eval().args(["--resume"]).start();
    match victim {
        Victim::Node => {
            subject.home.kill_node();
            eval.finish().expect(6);
            again()
        }
        Victim::Command => {
            eval.kill();
            again()
        }
        Victim::Worker => {
            let workers = subject.home.workers();
            if let Some(worker) = workers.iter().find(|worker| worker.pid > 0) {
                process::kill(worker.pid);
            }
            eval
        }
        Victim::Zygote => {
            subject.home.zygotes().iter().for_each(|zygote| process::kill(zygote.pid));
            eval
        }
    }
}
