//! Which files a worker may read and write: a list of rules from the places that there are.
//!
//! Landlock's rules only ever add: what lies below a directory that may be read may be read, too. So a directory that holds
//! something hidden is not granted as a whole, but each of its entries that holds nothing hidden.

mod system_paths;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::landlock::{Access, OF_FILES, Ruleset, handled, scoped};

/// Entries of directories that hold something hidden; more of them would make every start of a worker slow.
const SPLIT_MAX: usize = 10_000;

/// Where things lie. All paths are absolute and real: no link leads elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The interpreter, its libraries, what it finds modules in, and what the node has put there for this worker. Granted even
    /// within what is hidden.
    pub environment: Vec<PathBuf>,
    /// The program's directory, and what else may be read.
    pub readable: Vec<PathBuf>,
    /// What else may be written. Nothing that holds something hidden is.
    pub writable: Vec<PathBuf>,
    /// The worker's own directory.
    pub own: PathBuf,
    /// The node's data, its settings, keys and tokens, and the directories of other workers.
    pub hidden: Vec<PathBuf>,
}

/// A path and what it grants.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    path: PathBuf,
    access: Access,
}

/// What a worker may do with files, by version of Landlock. `entries` lists a directory.
pub(crate) fn ruleset(places: &Places, version: u32, entries: &dyn Fn(&Path) -> Vec<PathBuf>) -> Ruleset {
    let mut by_path: BTreeMap<PathBuf, u64> = BTreeMap::new();
    for Rule { path, access } in rules(places, entries) {
        *by_path.entry(path).or_default() |= access.rights(version);
    }
    // What is no UTF-8 has no place in the protocol, and in no setting.
    let text = |(path, rights): (PathBuf, u64)| Some((path.into_os_string().into_string().ok()?, rights));
    let rules = by_path.into_iter().filter_map(text).collect();
    Ruleset { handled: handled(version), scoped: scoped(version), of_files: OF_FILES, rules }
}

/// The same as rules; a path may be there more than once.
fn rules(places: &Places, entries: &dyn Fn(&Path) -> Vec<PathBuf>) -> Vec<Rule> {
    let of_system = |paths: &[&str], access| -> Vec<Rule> {
        paths.iter().map(|path| Rule { path: PathBuf::from(path), access }).collect()
    };
    let mut rules = of_system(system_paths::TREES, Access::Read);
    rules.extend(of_system(system_paths::FILES, Access::Read));
    rules.extend(of_system(system_paths::DEVICES, Access::Device));
    for path in &places.environment {
        // Inside something hidden it is there on purpose: the node's own package is.
        let within: Vec<PathBuf> = places.hidden.iter().filter(|hidden| hidden.starts_with(path)).cloned().collect();
        grant(path, &within, entries, &mut rules);
    }
    for path in &places.readable {
        grant(path, &places.hidden, entries, &mut rules);
    }
    let meets_hidden =
        |path: &&PathBuf| !places.hidden.iter().any(|hidden| path.starts_with(hidden) || hidden.starts_with(path));
    let writable = places.writable.iter().filter(meets_hidden).chain([&places.own]);
    rules.extend(writable.map(|path| Rule { path: path.clone(), access: Access::Write }));
    rules
}

/// A tree without what is hidden in it.
fn grant(path: &Path, hidden: &[PathBuf], entries: &dyn Fn(&Path) -> Vec<PathBuf>, rules: &mut Vec<Rule>) {
    if hidden.iter().any(|hidden| path.starts_with(hidden)) || rules.len() > SPLIT_MAX {
        return;
    }
    let holds_some = hidden.iter().any(|hidden| hidden.starts_with(path));
    let access = if holds_some { Access::List } else { Access::Read };
    rules.push(Rule { path: path.to_owned(), access });
    if holds_some {
        for entry in entries(path) {
            grant(&entry, hidden, entries, rules);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    fn places() -> Places {
        Places {
            environment: paths(&["/opt/venv", "/srv/app/data/runtime/1"]),
            readable: paths(&["/srv/app"]),
            writable: paths(&["/scratch"]),
            own: "/srv/app/data/workers/w1".into(),
            hidden: paths(&["/srv/app/data", "/srv/app/dspex.toml", "/srv/app/certs/node.key", "/home/u/.dspex"]),
        }
    }

    /// A directory with a program, the node's file and its data.
    fn entries(path: &Path) -> Vec<PathBuf> {
        match path.to_str() {
            Some("/srv/app") => paths(&[
                "/srv/app/data",
                "/srv/app/dspex.toml",
                "/srv/app/program.py",
                "/srv/app/lib",
                "/srv/app/certs",
            ]),
            Some("/srv/app/certs") => paths(&["/srv/app/certs/node.key", "/srv/app/certs/ca.pem"]),
            other => panic!("{other:?} holds nothing hidden, so nobody lists it"),
        }
    }

    fn access(rules: &[Rule], path: &str) -> Vec<Access> {
        rules.iter().filter(|rule| rule.path == Path::new(path)).map(|rule| rule.access).collect()
    }

    #[test]
    fn a_directory_that_holds_the_nodes_data_is_granted_without_it() {
        let rules = rules(&places(), &entries);
        for (path, expected) in [
            ("/opt/venv", vec![Access::Read]),
            // Its names are seen, or no module would be found in it.
            ("/srv/app", vec![Access::List]),
            ("/srv/app/program.py", vec![Access::Read]),
            ("/srv/app/lib", vec![Access::Read]),
            ("/srv/app/certs", vec![Access::List]),
            ("/srv/app/certs/ca.pem", vec![Access::Read]),
            ("/srv/app/certs/node.key", vec![]),
            ("/srv/app/dspex.toml", vec![]),
            ("/srv/app/data", vec![]),
            // The node's package lies in its data directory.
            ("/srv/app/data/runtime/1", vec![Access::Read]),
            ("/srv/app/data/workers/w1", vec![Access::Write]),
            ("/scratch", vec![Access::Write]),
        ] {
            assert_eq!(access(&rules, path), expected, "{path}");
        }
    }

    #[test]
    fn nothing_hidden_is_ever_read_or_written() {
        let hidden = places().hidden;
        for (readable, writable) in [
            (vec!["/srv/app/data"], vec!["/srv/app"]),
            (vec!["/srv/app/data/data"], vec!["/srv/app/data/workers"]),
            (vec!["/srv/app/dspex.toml"], vec!["/"]),
        ] {
            let places = Places { readable: paths(&readable), writable: paths(&writable), ..places() };
            for Rule { path, access } in rules(&places, &entries) {
                let is_own = path == places.own || places.environment.contains(&path);
                let meets = hidden
                    .iter()
                    .any(|hidden| path.starts_with(hidden) || (access != Access::List && hidden.starts_with(&path)));
                assert!(!meets || is_own, "{path:?} {access:?} of {readable:?} and {writable:?}");
            }
        }
    }

    #[test]
    fn the_machines_secrets_are_not_among_what_every_program_needs() {
        let rules = rules(&Places { own: "/own".into(), ..Places::default() }, &|_| Vec::new());
        for secret in
            ["/etc/passwd", "/etc/shadow", "/root/.ssh/id", "/home/u/x", "/proc/1/environ", "/tmp/x", "/dev/sda"]
        {
            let granted = rules.iter().find(|rule| Path::new(secret).starts_with(&rule.path));
            assert_eq!(granted, None, "{secret}");
        }
        let writable: Vec<&Rule> = rules.iter().filter(|rule| rule.access == Access::Write).collect();
        assert_eq!(writable, [&Rule { path: "/own".into(), access: Access::Write }]);
    }

    #[test]
    fn a_path_has_one_rule_with_all_of_its_rights() {
        let twice = Places { readable: paths(&["/scratch", "/opt/venv"]), ..places() };
        let ruleset = ruleset(&twice, 7, &entries);
        let mut names: Vec<&String> = ruleset.rules.iter().map(|(path, _)| path).collect();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        let scratch = ruleset.rules.iter().find(|(path, _)| path == "/scratch").expect("a rule");
        assert_eq!(scratch.1, Access::Write.rights(7) | Access::Read.rights(7));
        assert!(ruleset.rules.iter().all(|(_, rights)| rights & !ruleset.handled == 0));
    }

    #[test]
    fn a_directory_with_very_many_entries_is_not_granted_without_end() {
        let many = |_: &Path| (0..30_000).map(|number| PathBuf::from(format!("/srv/app/{number}"))).collect();
        let split = rules(&places(), &many).len();
        assert!((SPLIT_MAX..=SPLIT_MAX + 10).contains(&split), "{split}");
    }
}
