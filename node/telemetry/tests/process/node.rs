//! The processes that tests look at: this same program, told by a variable what to act out.

use std::process::Command;
use std::time::{Duration, Instant};

use dspex_telemetry::{Settings, Telemetry};

use crate::{export, logs, metrics, secrets};

const SCENARIO: &str = "DSPEX_TELEMETRY_SCENARIO";

/// What a process said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) out: String,
    /// Its log.
    pub(crate) log: String,
    pub(crate) took: Duration,
}

/// Runs `scenario` in a process with these variables and no others.
#[track_caller]
pub(crate) fn act(scenario: &str, variables: &[(&str, &str)]) -> Said {
    let begun = Instant::now();
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "node::acts", "--nocapture", "--test-threads=1"])
        .env_clear()
        .envs(variables.iter().copied())
        .env(SCENARIO, scenario)
        .output()
        .expect("this program can be started");
    let said = Said {
        out: String::from_utf8(output.stdout).expect("text"),
        log: String::from_utf8(output.stderr).expect("text"),
        took: begun.elapsed(),
    };
    assert!(output.status.success(), "{scenario} failed: {said:#?}");
    said
}

impl Said {
    /// What follows `name=` in what it printed.
    #[track_caller]
    pub(crate) fn value(&self, name: &str) -> &str {
        let marked = format!("{name}=");
        let mut values = self.out.lines().filter_map(|line| line.split_once(marked.as_str()));
        values.next().unwrap_or_else(|| panic!("no {name} in {self:#?}")).1
    }
}

/// Does nothing where nobody started it to act.
#[test]
fn acts() {
    let Ok(scenario) = std::env::var(SCENARIO) else { return };
    let start = || Telemetry::start(Settings::from_environment()).expect("the first one in this process");
    let telemetry = if scenario == "in a runtime" { export::in_a_runtime(start) } else { start() };
    match scenario.as_str() {
        "tree" => export::tree(),
        "many spans" => export::many_spans(),
        "two spans" => export::two_spans(),
        "in a runtime" => {}
        "log" => logs::log(),
        "secrets" => secrets::tell(),
        "metrics" => metrics::record(),
        "again" => println!("again={}", Telemetry::start(Settings::default()).err().expect("there is one")),
        other => panic!("no scenario {other}"),
    }
    let begun = Instant::now();
    telemetry.shutdown(Duration::from_millis(500));
    println!("shutdown_ms={}", begun.elapsed().as_millis());
    print!("{}", dspex_telemetry::render());
}
