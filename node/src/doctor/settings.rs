//! Whether a node would start with its configuration.

use std::path::Path;

use super::finding::Finding;
use crate::configuration::{self, Configuration, Problems};

const CHECK: &str = "configuration";

/// What is wrong, and what will not do what was meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SettingsFacts {
    /// The file; nothing: there is none, which is nothing unusual.
    pub file: Option<String>,
    pub problems: Vec<String>,
    pub warnings: Vec<String>,
}

/// Of a file, else of the embedded node in a home.
pub(super) fn gather(file: Option<&Path>, home: Option<&Path>) -> (SettingsFacts, Option<Configuration>) {
    let own = home.map(|home| home.join("dspex.toml")).filter(|own| own.exists());
    let shown = file.map(Path::to_owned).or(own).map(|file| file.display().to_string());
    let read = match (file, home) {
        (Some(file), _) => Configuration::read(file),
        (None, Some(home)) => Configuration::of_home(home),
        (None, None) => return (SettingsFacts::default(), None),
    };
    let lines = |problems: &[configuration::Problem]| problems.iter().map(ToString::to_string).collect();
    match read {
        Err(Problems(problems)) => {
            (SettingsFacts { file: shown, problems: lines(&problems), warnings: Vec::new() }, None)
        }
        Ok(read) => {
            // The embedded node has no port, no peers and no Python of its own.
            let problems = if file.is_some() { configuration::problems(&read) } else { Vec::new() };
            let warnings = if file.is_none() { configuration::wrong_paths(&read) } else { Vec::new() };
            let facts = SettingsFacts { file: shown, problems: lines(&problems), warnings: lines(&warnings) };
            (facts, Some(read))
        }
    }
}

/// One finding for each thing that is wrong.
pub(super) fn check(facts: &SettingsFacts) -> Vec<Finding> {
    const ADVICE: &str = "mend it, then ask `dspex config validate FILE`";
    let mut findings: Vec<Finding> = Vec::new();
    findings.extend(facts.problems.iter().map(|problem| Finding::failure(CHECK, problem, ADVICE)));
    findings.extend(facts.warnings.iter().map(|warning| Finding::warning(CHECK, warning, ADVICE)));
    if findings.is_empty() {
        findings.push(match &facts.file {
            Some(file) => Finding::ok(CHECK, format!("a node starts with {file}")),
            None => Finding::ok(CHECK, "no file: the embedded node has its defaults"),
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::State;

    #[test]
    fn every_problem_is_a_failure_and_a_good_file_is_ok() {
        let facts = SettingsFacts {
            file: Some("dspex.toml".to_owned()),
            problems: vec!["dspex.toml:1: colour: no such key".to_owned()],
            warnings: vec!["pools.general.python: no file".to_owned()],
        };
        let states: Vec<State> = check(&facts).iter().map(|finding| finding.state).collect();
        assert_eq!(states, [State::Failure, State::Warning]);
        let good = check(&SettingsFacts { problems: Vec::new(), warnings: Vec::new(), ..facts });
        assert!(good.len() == 1 && good[0].state == State::Ok && good[0].says.contains("dspex.toml"), "{good:?}");
        assert!(check(&SettingsFacts::default())[0].says.contains("defaults"));
    }
}
