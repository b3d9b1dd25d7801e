//! `dspex-chaos run`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dspex_chaos::cluster::{Cluster, Layout, Program};
use dspex_chaos::evaluation;
use dspex_chaos::scenario::{self, Options, Report, Scenario, play};
use dspex_chaos::stage::{Hooks, OperatorsCluster, OwnCluster, Stage};
use dspex_chaos::target::{Door, Target};
use dspex_chaos::traffic::Traffic;

use super::arguments::Run;
use super::say;

/// True where every round was green.
pub fn run(run: &Run) -> Result<bool, String> {
    let scenario = scenario::find(&run.scenario).ok_or("there is no such scenario")?;
    if run.against.is_empty() { at_our_own(run, scenario) } else { at_an_operators(run, scenario) }
}

fn at_our_own(run: &Run, scenario: &Scenario) -> Result<bool, String> {
    scenario.probe().map_err(|why| format!("{} cannot be played here: {why}", scenario.name))?;
    let program = Program::with(&found(&run.program)?, run.python.as_deref());
    can_be_called(scenario, &program)?;
    if scenario.evaluates {
        return evaluations(run, scenario, &program);
    }
    let nodes = voters(run.nodes)?;
    let layout = Layout::plain(program, nodes).with(scenario.needs);
    let mut cluster = Cluster::start(layout).map_err(|error| error.to_string())?;
    let green = rounds(run, scenario, &mut OwnCluster::new(&mut cluster))?;
    if !green {
        say(&format!("the logs of the nodes are kept in {}", cluster.keep().display()));
    }
    Ok(green)
}

/// Three where nobody says how many. Fewer bear nothing.
fn voters(nodes: Option<u64>) -> Result<usize, String> {
    let nodes = nodes.unwrap_or(3);
    if !(3..=7).contains(&nodes) {
        return Err(format!("--nodes {nodes}: this scenario is played at 3 to 7 nodes, all of which vote"));
    }
    usize::try_from(nodes).map_err(|error| error.to_string())
}

/// Each round at a cluster of its own: their sizes differ.
fn evaluations(run: &Run, scenario: &Scenario, program: &Program) -> Result<bool, String> {
    let nodes = run.nodes.map(usize::try_from).transpose().map_err(|error| error.to_string())?;
    let (first, length) = (run.seed.unwrap_or_else(seed), Duration::from_secs(run.seconds));
    let unwritten = |error: std::io::Error| format!("the history: {error}");
    let mut history = run.history.as_ref().map(File::create).transpose().map_err(unwritten)?;
    let mut green = true;
    for round in 0..run.rounds {
        let options = evaluation::Options { seed: first.wrapping_add(round), length, nodes };
        let played = evaluation::play(scenario, program, &options);
        let played = played.map_err(|error| format!("{} (seed {}): {error}", scenario.name, options.seed))?;
        let (voters, workers) = (played.shape.voters, played.shape.workers);
        say(&format!("{voters} nodes that vote and {workers} that do not, round {} of {}", round + 1, run.rounds));
        say(&played.report.to_string());
        if let Some(file) = &mut history {
            played.account.add_line(file).map_err(unwritten)?;
        }
        if let Some(kept) = &played.kept {
            green = false;
            say(&format!("the logs of the nodes and the run's account are kept in {}", kept.display()));
        }
    }
    Ok(green)
}

fn at_an_operators(run: &Run, scenario: &Scenario) -> Result<bool, String> {
    if scenario.evaluates {
        let name = scenario.name;
        return Err(format!(
            "{name} counts executions in a file that its nodes share: it is played at clusters that it makes itself"
        ));
    }
    let token_file = run.token_file.clone().ok_or("--token-file is missing")?;
    if scenario.calls && run.call.is_none() {
        return Err(format!(
            "{} calls code in sessions: name what your nodes can be called for with --call",
            scenario.name
        ));
    }
    let door = |text: &String| {
        let address: dspex_api::Address = text.parse()?;
        let name = text.trim_start_matches("https://").trim_start_matches("http://");
        Ok(Door { name: name.to_owned(), address, token_file: token_file.clone(), ca: run.ca.clone() })
    };
    let doors = run.against.iter().map(door).collect::<Result<Vec<_>, String>>()?;
    let target = Target::new(doors).map_err(|error| error.to_string())?;
    let hooks = Hooks { begin: run.begin.clone(), end: run.end.clone(), call: run.call.clone() };
    rounds(run, scenario, &mut OperatorsCluster::new(target, hooks))
}

fn rounds(run: &Run, scenario: &Scenario, stage: &mut dyn Stage) -> Result<bool, String> {
    let first = run.seed.unwrap_or_else(seed);
    let mut green = true;
    for round in 0..run.rounds {
        let report = play(scenario, stage, &options(run, first.wrapping_add(round)));
        say(&report.to_string());
        if !report.is_green() {
            green = false;
            keep(run, &report)?;
        }
    }
    Ok(green)
}

fn options(run: &Run, seed: u64) -> Options {
    let traffic = Traffic { clients: run.clients, per_second: run.rate, keys: 2 * run.clients, ..Traffic::new(seed) };
    let history = run.history.clone();
    Options { traffic, history, ..Options::new(seed, Duration::from_secs(run.seconds)) }
}

/// A red run leaves its history, also where nobody asked for it.
fn keep(run: &Run, report: &Report) -> Result<(), String> {
    let path = run.history.clone().unwrap_or_else(|| {
        std::env::temp_dir().join(format!("dspex-chaos-{}-{}.jsonl", report.scenario, report.schedule.seed))
    });
    report.keep_history(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    say(&format!("the history is kept in {}", path.display()));
    Ok(())
}

/// Why the nodes of a program cannot execute what a scenario has them execute.
pub(super) fn can_be_called(scenario: &Scenario, program: &Program) -> Result<(), String> {
    if !scenario.calls && !scenario.evaluates {
        return Ok(());
    }
    let why = program.probe_calls();
    why.map_err(|why| format!("{} cannot be played: {why}; --python names another interpreter", scenario.name))
}

fn seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::from(since.subsec_nanos()) ^ since.as_secs())
}

/// A program by its path, or by its name in `PATH`.
pub(super) fn found(program: &Path) -> Result<PathBuf, String> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&search).map(|directory| directory.join(program));
    let named = std::iter::once(program.to_owned()).filter(|path| path.components().count() > 1);
    let mut known = named.chain(in_path).filter(|path| path.is_file());
    let missing = || format!("there is no program {}: name it with --program", program.display());
    known.next().ok_or_else(missing)?.canonicalize().map_err(|error| format!("{}: {error}", program.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_that_bear_something_have_3_to_7_voters() {
        assert_eq!((voters(None), voters(Some(7))), (Ok(3), Ok(7)));
        for nodes in [1, 2, 8] {
            assert!(voters(Some(nodes)).expect_err("refused").contains("3 to 7 nodes"));
        }
    }
}
