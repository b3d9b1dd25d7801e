//! Plays a scenario in its phases.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::report::Report;
use super::{SETTLE_LIMIT, Scenario};
use crate::promise::goes_on::Span;
use crate::promise::{
    answers_again, calls_are_answered, goes_on, lifetimes_hold, memory_is_bounded, no_defects, of_history,
    states_are_equal,
};
use crate::schedule::{Schedule, Step};
use crate::stage::{Landed, Stage};
use crate::stopwatch::Stopwatch;
use crate::target;
use crate::traffic::Traffic;

/// Traffic before the first fault, and after the last one.
const PEACE: Duration = Duration::from_millis(500);
/// For the final reads of all keys.
const FINAL_READS: Duration = Duration::from_secs(60);

/// How a scenario is played.
#[derive(Clone, Debug)]
pub struct Options {
    /// All chance comes from it.
    pub seed: u64,
    /// How long faults are made, about.
    pub length: Duration,
    /// Who writes and reads meanwhile.
    pub traffic: Traffic,
    /// Where the history is kept, as JSON lines.
    pub history: Option<PathBuf>,
}

impl Options {
    /// With the usual traffic.
    pub fn new(seed: u64, length: Duration) -> Self {
        Self { seed, length, traffic: Traffic::new(seed), history: None }
    }
}

/// What happened to the schedule.
#[derive(Debug, Default)]
struct Played {
    landed: Landed,
    not_landed: Vec<String>,
    wrong: Vec<String>,
    spans: Vec<Span>,
}

/// Plays a scenario at a cluster all of whose nodes run.
pub fn play(scenario: &Scenario, stage: &mut dyn Stage, options: &Options) -> Report {
    let begun = Instant::now();
    let stopwatch = Stopwatch::start();
    let nodes = stage.target().doors().len();
    let schedule = Schedule::draw(options.seed, nodes, options.length, scenario.least, scenario.draw);
    let command = if scenario.calls { stage.command() } else { None };
    let traffic = Traffic { command, ..options.traffic.clone() };
    let clients = traffic.start(&stage.target().clone(), stopwatch);
    sleep(PEACE);
    let played = run(&schedule, stage, stopwatch);
    let mut findings = vec![answers_again::check(stage.target(), SETTLE_LIMIT)];
    sleep(PEACE);
    let recording = clients.stop(FINAL_READS);
    findings.extend(of_history(&recording));
    if scenario.calls {
        findings.push(calls_are_answered::check(&recording));
        findings.push(lifetimes_hold::check(&recording.lifetimes, recording.ended_ns));
    }
    findings.push(goes_on::check(&recording.history, &played.spans, nodes));
    findings.push(states_are_equal::check(stage.target()));
    if let Some(cluster) = stage.own() {
        findings.push(memory_is_bounded::check(cluster));
    }
    findings.push(no_defects::check(&recording.history, stage.own().map(|cluster| &*cluster)));
    let mut report = Report {
        scenario: scenario.name,
        schedule,
        landed: played.landed,
        not_landed: played.not_landed,
        wrong: played.wrong,
        findings,
        counts: recording.history.counts(),
        recording,
        took: begun.elapsed(),
    };
    if let Some(path) = &options.history
        && let Err(error) = report.keep_history(path)
    {
        report.wrong.push(format!("the history cannot be kept in {}: {error}", path.display()));
    }
    report
}

fn run(schedule: &Schedule, stage: &mut dyn Stage, stopwatch: Stopwatch) -> Played {
    let begun = Instant::now();
    let mut played = Played::default();
    for Step { at, lasts, fault } in &schedule.steps {
        sleep(at.saturating_sub(begun.elapsed()));
        // Else faults of a minority would add up to one of a majority.
        if !target::is_whole_within(stage.target(), SETTLE_LIMIT) {
            let told =
                format!("before {fault} the nodes did not agree on a leader within {} s", SETTLE_LIMIT.as_secs());
            played.wrong.push(told);
        }
        let from_ns = stopwatch.now_ns();
        match stage.begin(fault) {
            Ok(()) => {
                played.landed.count(fault);
                sleep(*lasts);
            }
            Err(error) => played.not_landed.push(format!("{fault}: {error}")),
        }
        let to_ns = stopwatch.now_ns();
        match stage.end(fault) {
            Ok(wrong) => played.wrong.extend(wrong),
            Err(error) => played.wrong.push(format!("{fault} could not be put back: {error}")),
        }
        played.spans.push(Span { from_ns, to_ns, fault: fault.clone() });
    }
    played
}
