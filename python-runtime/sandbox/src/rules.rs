//! Which files a worker may read and write: a list of rules from the places that there are.
//!
//! Landlock's rules only ever add: what lies below a directory that may be read may be read, too. So a directory that holds
//! something hidden is not granted as a whole, but each of its entries that holds nothing hidden. That goes for every tree that is
//! read, the system's own included.

mod system_paths;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::landlock::{Access, OF_FILES, Ruleset, handled, scoped};
use crate::real_path::real_path;

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

/// How the files lie.
pub(crate) struct Disk<'a> {
    /// What is in a directory, without links: a rule holds for where a link leads, and that may be what is hidden.
    pub entries: &'a dyn Fn(&Path) -> Vec<PathBuf>,
    /// Where a path leads in the end.
    pub real: &'a dyn Fn(&Path) -> PathBuf,
}

/// What a worker may do with files, by version of Landlock.
pub(crate) fn ruleset(places: &Places, version: u32, disk: &Disk<'_>) -> Ruleset {
    let mut by_path: BTreeMap<PathBuf, u64> = BTreeMap::new();
    for Rule { path, access } in rules(places, disk) {
        *by_path.entry(path).or_default() |= access.rights(version);
    }
    // What is no UTF-8 has no place in the protocol, and in no setting.
    let text = |(path, rights): (PathBuf, u64)| Some((path.into_os_string().into_string().ok()?, rights));
    let rules = by_path.into_iter().filter_map(text).collect();
    Ruleset { handled: handled(version), scoped: scoped(version), of_files: OF_FILES, rules }
}

/// The tree of the system that a path lies in, and in which programs see its name.
pub fn system_tree(path: &Path) -> Option<PathBuf> {
    let trees = system_paths::TREES.iter().map(|tree| real_path(Path::new(tree)));
    trees.into_iter().find(|tree| path.starts_with(tree))
}

/// The same as rules; a path may be there more than once.
fn rules(places: &Places, disk: &Disk<'_>) -> Vec<Rule> {
    let mut rules: Vec<Rule> =
        system_paths::DEVICES.iter().map(|path| Rule { path: path.into(), access: Access::Device }).collect();
    for path in system_paths::TREES.iter().chain(system_paths::FILES) {
        grant(&of_system(Path::new(path), disk), &places.hidden, disk, &mut rules);
    }
    for path in &places.environment {
        // Inside something hidden it is there on purpose: the node's own package is.
        let within: Vec<PathBuf> = places.hidden.iter().filter(|hidden| hidden.starts_with(path)).cloned().collect();
        grant(path, &within, disk, &mut rules);
    }
    for path in &places.readable {
        grant(path, &places.hidden, disk, &mut rules);
    }
    let meets_hidden =
        |path: &&PathBuf| !places.hidden.iter().any(|hidden| path.starts_with(hidden) || hidden.starts_with(path));
    let writable = places.writable.iter().filter(meets_hidden).chain([&places.own]);
    rules.extend(writable.map(|path| Rule { path: path.clone(), access: Access::Write }));
    rules
}

/// Some of them are links (/lib is). What /proc shows is the worker's own: it resolves that itself.
fn of_system(path: &Path, disk: &Disk<'_>) -> PathBuf {
    if path.starts_with("/proc") { path.to_owned() } else { (disk.real)(path) }
}

/// A tree without what is hidden in it.
fn grant(path: &Path, hidden: &[PathBuf], disk: &Disk<'_>, rules: &mut Vec<Rule>) {
    if hidden.iter().any(|hidden| path.starts_with(hidden)) || rules.len() > SPLIT_MAX {
        return;
    }
    let holds_some = hidden.iter().any(|hidden| hidden.starts_with(path));
    let access = if holds_some { Access::List } else { Access::Read };
    rules.push(Rule { path: path.to_owned(), access });
    if holds_some {
        for entry in (disk.entries)(path) {
            grant(&entry, hidden, disk, rules);
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

    /// A disk on which /lib is a link, as it is in the distributions.
    fn disk(entries: &dyn Fn(&Path) -> Vec<PathBuf>) -> Disk<'_> {
        let real = &|path: &Path| match path.strip_prefix("/lib") {
            Ok(rest) => Path::new("/usr/lib").join(rest).components().collect(),
            Err(_) => path.to_owned(),
        };
        Disk { entries, real }
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
        let rules = rules(&places(), &disk(&entries));
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
            for Rule { path, access } in rules(&places, &disk(&entries)) {
                let is_own = path == places.own || places.environment.contains(&path);
                let meets = hidden
                    .iter()
                    .any(|hidden| path.starts_with(hidden) || (access != Access::List && hidden.starts_with(&path)));
                assert!(!meets || is_own, "{path:?} {access:?} of {readable:?} and {writable:?}");
            }
        }
    }

    #[test]
    fn what_is_hidden_in_a_tree_of_the_system_is_granted_by_no_tree() {
        for (hidden, listed) in [
            ("/usr/local/dspex/data", vec!["/usr", "/usr/local", "/usr/local/dspex"]),
            // By its real name; the tree that is granted as /lib leads there.
            ("/usr/lib/dspex", vec!["/usr", "/usr/lib"]),
            ("/etc/ssl/certs/node.key", vec!["/etc/ssl/certs"]),
            ("/etc/hosts", vec![]),
            ("/usr", vec![]),
        ] {
            let hidden = Path::new(hidden);
            // Each directory on the way has a neighbour beside what leads to it.
            let entries = |path: &Path| {
                let next = hidden.strip_prefix(path).expect("on the way").components().next().expect("not the end");
                vec![path.join(next), path.join("neighbour")]
            };
            let places = Places { own: "/own".into(), hidden: vec![hidden.to_owned()], ..Places::default() };
            let rules = rules(&places, &disk(&entries));
            for Rule { path, access } in &rules {
                assert!(!path.starts_with(hidden), "{path:?} of {hidden:?}");
                assert!(!hidden.starts_with(path) || *access == Access::List, "{path:?} {access:?} of {hidden:?}");
            }
            for path in listed {
                let own = access(&rules, path);
                assert!(!own.is_empty() && own.iter().all(|access| *access == Access::List), "{path} {own:?}");
                assert!(access(&rules, &format!("{path}/neighbour")).contains(&Access::Read), "{path}");
            }
        }
        assert_eq!(access(&rules(&places(), &disk(&entries)), "/usr"), [Access::Read], "nothing is hidden there");
    }

    #[test]
    fn the_tree_of_the_system_in_which_a_path_lies_is_known() {
        assert_eq!(system_tree(Path::new("/usr/local/dspex")), Some("/usr".into()));
        assert_eq!((system_tree(Path::new("/var/lib/dspex")), system_tree(Path::new("/"))), (None, None));
    }

    #[test]
    fn the_machines_secrets_are_not_among_what_every_program_needs() {
        let rules = rules(&Places { own: "/own".into(), ..Places::default() }, &disk(&|_| Vec::new()));
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
        let ruleset = ruleset(&twice, 7, &disk(&entries));
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
        let split = rules(&places(), &disk(&many)).len();
        assert!((SPLIT_MAX..=SPLIT_MAX + 10).contains(&split), "{split}");
    }
}
