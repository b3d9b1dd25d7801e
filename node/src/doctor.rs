//! `dspex doctor`: what is wrong with this machine, its Python, a node and its cluster. Facts are gathered first, and judged by
//! plain functions; nothing is started, and nothing is changed.

mod certificates;
mod directory;
mod facts;
mod finding;
mod machine;
mod node;
mod ports;
mod python;
mod sandbox;
mod settings;

use std::time::Duration;

use dspex_cli::{CommandError, Console, DoctorCommand, Format, Listing, exit, output};
use serde_json::{Map, Value};
use tokio::time::Instant;

use facts::Facts;
use finding::{Finding, State};

/// For all of it: importing dspy with a cold disk takes longest.
const LIMIT: Duration = Duration::from_secs(180);

/// Looks, says what it found. Gives the exit code.
pub(crate) fn run(command: &DoctorCommand) -> i32 {
    let code = examine(command).unwrap_or_else(|error| {
        command.invocation.console.error(&error);
        error.exit
    });
    i32::from(code)
}

fn examine(command: &DoctorCommand) -> Result<u8, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let end = Instant::now() + LIMIT;
    let end = command.invocation.deadline.map_or(end, |deadline| deadline.min(end));
    let facts = runtime.block_on(async { tokio::time::timeout_at(end, Facts::gather(command)).await });
    // What is not there yet is a process that was killed.
    runtime.shutdown_background();
    let facts = facts.map_err(|_| CommandError::new(exit::UNREACHABLE, "the facts were not gathered in time"))?;
    let findings = findings(&facts);
    print(&findings, command.invocation.format)?;
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    let (warnings, failures) = (count(State::Warning), count(State::Failure));
    command.invocation.console.note(&format!("{} checks: {warnings} warnings, {failures} failures", findings.len()));
    Ok(if failures == 0 { exit::OK } else { exit::FAILED })
}

/// All that the facts say.
fn findings(facts: &Facts) -> Vec<Finding> {
    let mut findings = settings::check(&facts.settings);
    findings.extend(python::check(&facts.python, env!("CARGO_PKG_VERSION")));
    findings.extend(facts.directories.iter().flat_map(directory::check));
    findings.extend(machine::check(&facts.machine));
    findings.extend(sandbox::check(&facts.sandbox));
    findings.extend(certificates::check(&facts.certificates, facts.machine.now_ms / 1000));
    findings.extend(ports::check(&facts.ports));
    findings.extend(node::check(&facts.node, env!("CARGO_PKG_VERSION"), facts.machine.now_ms));
    findings
}

fn print(findings: &[Finding], format: Format) -> Result<(), CommandError> {
    if format == Format::Table {
        let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or_default();
        let text: String = findings.iter().map(|finding| finding.lines(width)).collect();
        return output::people(&text);
    }
    let mut counts = Map::new();
    for state in [State::Ok, State::Warning, State::Failure] {
        let count = findings.iter().filter(|finding| finding.state == state).count();
        counts.insert(state.name().to_owned(), Value::from(count));
    }
    let listing = Listing { items: findings.iter().map(Finding::object).collect(), counts, ..Listing::default() };
    listing.print(format, &Console::new(false, 0))
}
