//! Whether an environment has what a program needs, and, where none does, what to tell its author.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use dspex_python::Facts;

/// What a program needs: the minor version of Python, and distributions with their versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// "3.12".
    pub python: String,
    /// By normalized name.
    pub distributions: BTreeMap<String, String>,
}

/// An environment, as far as it has answered.
#[derive(Clone, Debug)]
pub(super) struct Candidate<'a> {
    pub(super) name: &'a str,
    pub(super) interpreter: &'a Path,
    pub(super) facts: Result<Arc<Facts>, String>,
}

/// How an environment differs from what is needed, in one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Difference<'a> {
    what: &'a str,
    needed: &'a str,
    /// `None`: it is not there.
    found: Option<&'a str>,
}

/// Rows of a table: a mismatch of a whole environment needs no more words.
const ROWS_MAX: usize = 20;
const PYTHON: &str = "python";

impl Need {
    /// As it is stored with a run: pairs in order.
    pub(crate) fn pairs(&self) -> Vec<(String, String)> {
        let python = (PYTHON.to_owned(), self.python.clone());
        std::iter::once(python).chain(self.distributions.clone()).collect()
    }

    /// From what is stored.
    pub(crate) fn of_pairs(pairs: &[(String, String)]) -> Self {
        let mut distributions: BTreeMap<String, String> = pairs.iter().skip(1).cloned().collect();
        let python = pairs.first().filter(|(name, _)| name == PYTHON).map(|(_, version)| version.clone());
        if python.is_none() {
            distributions.extend(pairs.first().cloned());
        }
        Self { python: python.unwrap_or_default(), distributions }
    }
}

/// Whether it has all of it, to the letter: another patch of a package may answer otherwise.
pub(super) fn choose(need: &Need, candidate: &Candidate<'_>) -> bool {
    candidate.facts.as_ref().is_ok_and(|facts| differences(need, facts).is_empty())
}

fn differences<'a>(need: &'a Need, facts: &'a Facts) -> Vec<Difference<'a>> {
    let python = (need.python != facts.minor()).then(|| Difference {
        what: PYTHON,
        needed: &need.python,
        found: Some(facts.minor()),
    });
    let packages = need.distributions.iter().filter_map(|(name, version)| {
        let found = facts.distributions.get(name).map(String::as_str);
        (found != Some(version)).then_some(Difference { what: name, needed: version, found })
    });
    python.into_iter().chain(packages).collect()
}

/// A row for everything in which at least one of them differs, a column for each, and what to do.
pub(super) fn table(need: &Need, candidates: &[Candidate<'_>]) -> String {
    let compared: Vec<(&Candidate<'_>, Vec<Difference<'_>>)> = candidates
        .iter()
        .filter_map(|candidate| Some((candidate, differences(need, candidate.facts.as_ref().ok()?))))
        .collect();
    let mut told = "no environment of this node agrees with what the program needs".to_owned();
    if !compared.is_empty() {
        told.push_str(":\n");
        told.push_str(&aligned(&rows(need, &compared)));
    }
    for candidate in candidates {
        if let Err(why) = &candidate.facts {
            told.push_str(&format!("\n{} ({}) cannot be used: {why}", candidate.name, candidate.interpreter.display()));
        }
    }
    told.push_str(&fix(&compared));
    told
}

fn rows(need: &Need, compared: &[(&Candidate<'_>, Vec<Difference<'_>>)]) -> Vec<Vec<String>> {
    let heading = ["package", "yours"].into_iter().chain(compared.iter().map(|(candidate, _)| candidate.name));
    let mut rows: Vec<Vec<String>> = vec![heading.map(str::to_owned).collect()];
    let needed = std::iter::once((PYTHON, need.python.as_str()))
        .chain(need.distributions.iter().map(|(name, version)| (name.as_str(), version.as_str())));
    let differs = |what: &str| compared.iter().any(|(_, found)| found.iter().any(|one| one.what == what));
    let differing: Vec<(&str, &str)> = needed.filter(|(what, _)| differs(what)).collect();
    for (what, version) in differing.iter().take(ROWS_MAX) {
        let cells = compared.iter().map(|(_, found)| match found.iter().find(|one| one.what == *what) {
            None => (*version).to_owned(),
            Some(Difference { found: Some(found), .. }) => (*found).to_owned(),
            Some(Difference { found: None, .. }) => "not there".to_owned(),
        });
        rows.push([(*what).to_owned(), (*version).to_owned()].into_iter().chain(cells).collect());
    }
    if differing.len() > ROWS_MAX {
        rows.push(vec![format!("... and {} more", differing.len() - ROWS_MAX)]);
    }
    rows
}

fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter(|row| row.len() > 1).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("  {}", cells.collect::<Vec<_>>().join("  ")).trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// For the environment that comes nearest.
fn fix(compared: &[(&Candidate<'_>, Vec<Difference<'_>>)]) -> String {
    let all_the_same = "--environment NAME executes in one of them all the same";
    let Some((candidate, found)) = compared.iter().min_by_key(|(_, found)| found.len()) else {
        return "\nMend one of them, or declare another in the node's dspex.toml ([environments.NAME])".to_owned();
    };
    if let Some(python) = found.iter().find(|one| one.what == PYTHON) {
        return format!(
            "\nDeclare an environment with Python {} in the node's dspex.toml ([environments.NAME] python = \"...\"), or choose a \
             Python {} for yourself with --python; {all_the_same}",
            python.needed,
            python.found.unwrap_or_default()
        );
    }
    let missing: Vec<String> =
        found.iter().take(ROWS_MAX).map(|one| format!("'{}=={}'", one.what, one.needed)).collect();
    format!(
        "\n{} comes nearest. On the node: {} -m pip install {}; or install its versions here; {all_the_same}",
        candidate.name,
        candidate.interpreter.display(),
        missing.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn versions(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect()
    }

    fn need(python: &str, pairs: &[(&str, &str)]) -> Need {
        Need { python: python.to_owned(), distributions: versions(pairs) }
    }

    fn candidate<'a>(name: &'a str, python: &str, pairs: &[(&str, &str)]) -> Candidate<'a> {
        let facts = Facts { python: python.to_owned(), distributions: versions(pairs), paths: Vec::new() };
        Candidate { name, interpreter: Path::new("/opt/nlp/bin/python"), facts: Ok(Arc::new(facts)) }
    }

    #[test]
    fn an_environment_agrees_when_it_has_all_of_it_and_perhaps_more() {
        let need = need("3.12", &[("dspy", "3.4.1"), ("numpy", "2.1.0")]);
        let agrees = |python, pairs: &[(&str, &str)]| choose(&need, &candidate("a", python, pairs));
        assert!(agrees("3.12.3", &[("dspy", "3.4.1"), ("numpy", "2.1.0"), ("pandas", "3")]));
        assert!(!agrees("3.11.3", &[("dspy", "3.4.1"), ("numpy", "2.1.0")]));
        assert!(!agrees("3.12.3", &[("dspy", "3.4.1"), ("numpy", "2.1.1")]));
        assert!(!agrees("3.12.3", &[("dspy", "3.4.1")]));
        let broken = Candidate { facts: Err("it has no dspy".to_owned()), ..candidate("a", "3.12.3", &[]) };
        assert!(!choose(&need, &broken));
    }

    #[test]
    fn the_table_shows_what_differs_and_nothing_else() {
        let need = need("3.12", &[("dspy", "3.4.1"), ("numpy", "2.1.0"), ("pandas", "3.0")]);
        let told = table(
            &need,
            &[
                candidate("default", "3.11.9", &[("dspy", "3.4.1"), ("numpy", "2.1.0"), ("pandas", "3.0")]),
                candidate("nlp", "3.12.3", &[("dspy", "3.4.1"), ("numpy", "2.0.0")]),
            ],
        );
        let expected = "no environment of this node agrees with what the program needs:\n\
                        \x20 package  yours  default  nlp\n\
                        \x20 python   3.12   3.11     3.12\n\
                        \x20 numpy    2.1.0  2.1.0    2.0.0\n\
                        \x20 pandas   3.0    3.0      not there\n\
                        Declare an environment with Python 3.12 in the node's dspex.toml ([environments.NAME] python = \"...\"), \
                        or choose a Python 3.11 for yourself with --python; --environment NAME executes in one of them all the same";
        assert_eq!(told, expected);
    }

    #[test]
    fn the_fix_is_for_the_environment_that_comes_nearest() {
        let need = need("3.12", &[("dspy", "3.4.1"), ("numpy", "2.1.0")]);
        let broken = Candidate { facts: Err("it has no dspy".to_owned()), ..candidate("broken", "", &[]) };
        let told = table(&need, &[broken.clone(), candidate("nlp", "3.12.3", &[("dspy", "3.4.1")])]);
        assert!(told.contains("/opt/nlp/bin/python -m pip install 'numpy==2.1.0'"), "{told}");
        assert!(told.contains("broken (/opt/nlp/bin/python) cannot be used: it has no dspy"), "{told}");
        let told = table(&need, &[broken]);
        assert!(told.contains("[environments.NAME]") && !told.contains("yours"), "{told}");
    }

    #[test]
    fn a_long_table_is_cut() {
        let names: Vec<String> = (0..50).map(|n| format!("package-{n}")).collect();
        let pairs: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
        let told = table(&need("3.12", &pairs), &[candidate("default", "3.12.1", &[])]);
        assert!(told.contains("... and 30 more") && told.len() < 4096, "{told}");
    }

    proptest! {
        #[test]
        fn what_is_stored_with_a_run_is_what_was_needed(
            python in "3\\.1[0-4]",
            packages in proptest::collection::btree_map("[a-z-]{1,8}", "[0-9.]{1,5}", 0..8),
        ) {
            let need = Need { python, distributions: packages };
            prop_assert_eq!(Need::of_pairs(&need.pairs()), need);
        }

        /// An environment is chosen when, and only when, a table would have nothing to show for it.
        #[test]
        fn what_is_chosen_has_no_differences(
            needed in proptest::collection::btree_map("[a-c]", "[12]", 0..4),
            found in proptest::collection::btree_map("[a-c]", "[12]", 0..4),
            python in "3\\.1[12]",
        ) {
            let need = Need { python: "3.12".to_owned(), distributions: needed.clone() };
            let facts = Facts { python: format!("{python}.1"), distributions: found.clone(), paths: Vec::new() };
            let agrees = python == "3.12" && needed.iter().all(|(name, version)| found.get(name) == Some(version));
            let candidate = Candidate { name: "a", interpreter: Path::new("/p"), facts: Ok(Arc::new(facts)) };
            prop_assert_eq!(choose(&need, &candidate), agrees);
            if !agrees {
                prop_assert!(rows(&need, &[(&candidate, differences(&need, candidate.facts.as_ref().expect("facts")))]).len() > 1);
            }
        }
    }
}
