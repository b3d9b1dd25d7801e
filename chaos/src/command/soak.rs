//! `dspex-chaos soak`: rounds of all scenarios until enough has been broken and asked, or the time is over. What was done is kept, so that it
//! goes on where it was stopped.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use dspex_chaos::cluster::{Cluster, Layout, Program};
use dspex_chaos::evaluation;
use dspex_chaos::scenario::{self, Options, Report, Scenario, play};
use dspex_chaos::stage::OwnCluster;
use dspex_chaos::traffic::Traffic;
use serde::{Deserialize, Serialize};

use super::arguments::Soak;
use super::{play as single, say};

/// What has to land before it is enough.
const KILLS: u64 = 200;
const POWER_CUTS: u64 = 100;
const OPERATIONS: u64 = 200_000;
/// Faults are made for so long at one cluster.
const ROUND: Duration = Duration::from_secs(90);
/// Faults are made for so long while a run executes.
const EVALUATED: Duration = Duration::from_secs(20);
/// Operations a second of all clients, at most.
const RATE: u64 = 800;

/// A round, a line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Round {
    scenario: String,
    seed: u64,
    green: bool,
    faults: BTreeMap<String, u64>,
    operations: u64,
    acknowledged: u64,
    unknown: u64,
    refused: u64,
    seconds: u64,
}

/// All rounds so far.
#[derive(Debug, Default)]
struct Done(Vec<Round>);

/// True where all rounds were green and enough was done.
pub fn run(soak: &Soak) -> Result<bool, String> {
    let begun = Instant::now();
    let limit = Duration::from_secs(soak.minutes.saturating_mul(60));
    fs::create_dir_all(&soak.into).map_err(|error| format!("{}: {error}", soak.into.display()))?;
    let file = soak.into.join("rounds.jsonl");
    let mut done = Done::read(&file)?;
    let program = Program::with(&single::found(&soak.program)?, soak.python.as_deref());
    let possible: Vec<&Scenario> = scenario::ALL.iter().filter(|scenario| is_possible(scenario, &program)).collect();
    while !done.is_enough(&possible) && begun.elapsed() < limit {
        let number = done.0.len();
        let seed = soak.seed.wrapping_add(number as u64);
        let report = round(&program, possible[number % possible.len()], seed, &soak.into)?;
        say(&report.to_string());
        let round = Round::of(&report);
        append(&file, &round)?;
        done.0.push(round);
    }
    say(&done.summary());
    if !done.is_enough(&possible) {
        say(&format!("not enough yet: the same command goes on ({})", file.display()));
    }
    Ok(done.0.iter().all(|round| round.green))
}

fn is_possible(scenario: &Scenario, program: &Program) -> bool {
    let probe = scenario.probe().and_then(|()| single::can_be_called(scenario, program));
    if let Err(why) = &probe {
        say(&format!("skipped: {}: {why}", scenario.name));
    }
    probe.is_ok()
}

fn round(program: &Program, scenario: &Scenario, seed: u64, into: &Path) -> Result<Report, String> {
    if scenario.evaluates {
        return evaluated(program, scenario, seed);
    }
    // Every other cluster has five nodes.
    let nodes = if seed.is_multiple_of(2) { 3 } else { 5 };
    let layout = Layout::plain(program.clone(), nodes).with(scenario.needs);
    let mut cluster = Cluster::start(layout).map_err(|error| error.to_string())?;
    let traffic = Traffic { clients: 16, keys: 32, per_second: RATE, ..Traffic::new(seed) };
    let options = Options { traffic, ..Options::new(seed, ROUND) };
    let report = play(scenario, &mut OwnCluster::new(&mut cluster), &options);
    if !report.is_green() {
        let path = into.join(format!("{}-{seed}.jsonl", scenario.name));
        report.keep_history(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        say(&format!("the history is kept in {}, the logs in {}", path.display(), cluster.keep().display()));
    }
    Ok(report)
}

/// At a cluster of its own, as large as the seed has it.
fn evaluated(program: &Program, scenario: &Scenario, seed: u64) -> Result<Report, String> {
    let options = evaluation::Options { seed, length: EVALUATED, nodes: None };
    let played = evaluation::play(scenario, program, &options).map_err(|error| error.to_string())?;
    if let Some(kept) = &played.kept {
        say(&format!("the logs and the run's account are kept in {}", kept.display()));
    }
    Ok(played.report)
}

fn append(file: &Path, round: &Round) -> Result<(), String> {
    let line = serde_json::to_string(round).map_err(|error| error.to_string())?;
    let open = OpenOptions::new().create(true).append(true).open(file);
    open.and_then(|mut open| writeln!(open, "{line}")).map_err(|error| format!("{}: {error}", file.display()))
}

impl Round {
    fn of(report: &Report) -> Self {
        let counts = report.counts;
        let number = |count: usize| count as u64;
        Self {
            scenario: report.scenario.to_owned(),
            seed: report.schedule.seed,
            green: report.is_green(),
            faults: report.landed.0.iter().map(|(kind, count)| ((*kind).to_owned(), u64::from(*count))).collect(),
            operations: number(report.recording.history.operations().len()),
            acknowledged: number(counts.writes),
            unknown: number(counts.unknown),
            refused: number(counts.refused),
            seconds: report.took.as_secs(),
        }
    }
}

impl Done {
    fn read(file: &Path) -> Result<Self, String> {
        let Ok(text) = fs::read_to_string(file) else { return Ok(Self::default()) };
        let rounds = text.lines().map(serde_json::from_str).collect::<Result<Vec<Round>, _>>();
        let broken = |error| format!("{}: {error}; move it away to begin anew", file.display());
        Ok(Self(rounds.map_err(broken)?))
    }

    fn faults(&self, kind: &str) -> u64 {
        self.0.iter().filter_map(|round| round.faults.get(kind)).sum()
    }

    /// Where a machine cannot cut the power, nobody waits for it.
    fn is_enough(&self, possible: &[&Scenario]) -> bool {
        let cuts = possible.iter().any(|scenario| scenario.name == "power-cut");
        let operations: u64 = self.0.iter().map(|round| round.operations).sum();
        self.faults("kill") >= KILLS && operations >= OPERATIONS && (!cuts || self.faults("power-cut") >= POWER_CUTS)
    }

    fn summary(&self) -> String {
        let sum = |of: fn(&Round) -> u64| self.0.iter().map(of).sum::<u64>();
        let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
        for (kind, count) in self.0.iter().flat_map(|round| &round.faults) {
            *kinds.entry(kind).or_default() += count;
        }
        let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let red: Vec<String> = self
            .0
            .iter()
            .filter(|round| !round.green)
            .map(|round| format!("{} (seed {})", round.scenario, round.seed))
            .collect();
        format!(
            "{} rounds in {} minutes: {} operations, {} writes acknowledged, {} unknown, {} refused\nfaults: {}\nred: {}",
            self.0.len(),
            sum(|round| round.seconds) / 60,
            sum(|round| round.operations),
            sum(|round| round.acknowledged),
            sum(|round| round.unknown),
            sum(|round| round.refused),
            kinds.join(", "),
            if red.is_empty() { "none".to_owned() } else { red.join(", ") },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(green: bool, kind: &str, faults: u64, operations: u64) -> Round {
        Round {
            scenario: kind.to_owned(),
            seed: 1,
            green,
            faults: [(kind.to_owned(), faults)].into(),
            operations,
            acknowledged: 1,
            unknown: 0,
            refused: 0,
            seconds: 60,
        }
    }

    #[test]
    fn enough_is_enough_of_each_and_a_red_round_is_named() {
        let all: Vec<&Scenario> = scenario::ALL.iter().collect();
        let mut done = Done(vec![round(true, "kill", KILLS, OPERATIONS)]);
        assert!(!done.is_enough(&all), "no power cut yet");
        assert!(done.is_enough(&[&scenario::ALL[0]]), "where none can be had");
        done.0.push(round(false, "power-cut", POWER_CUTS, 5));
        assert!(done.is_enough(&all));
        assert!(done.summary().contains("red: power-cut (seed 1)"), "{}", done.summary());
    }

    #[test]
    fn rounds_are_read_back_and_a_damaged_file_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("rounds.jsonl");
        assert!(Done::read(&file).expect("none yet").0.is_empty());
        append(&file, &round(true, "kill", 3, 9)).expect("written");
        append(&file, &round(true, "kill", 4, 9)).expect("written");
        assert_eq!(Done::read(&file).expect("two").faults("kill"), 7);
        fs::write(&file, "{").expect("written");
        assert!(Done::read(&file).expect_err("cut off").contains("move it away"));
    }
}
