//! The judgement of a whole bundle, from its list of entries alone: before a byte is sent, and again before one is written.

use std::collections::{HashMap, HashSet};

use crate::entry::{Entry, Kind};
use crate::limits::Limits;
use crate::links;
use crate::path::{self, parents};
use crate::refusal::Refusal;

/// Judges entries that are in the order of their paths.
///
/// # Errors
/// The first thing that is wrong, by name.
pub(crate) fn judge(entries: &[Entry], limits: &Limits) -> Result<(), Refusal> {
    if entries.len() > limits.files {
        return Err(Refusal::TooManyFiles { files: entries.len() as u64, limit: limits.files as u64 });
    }
    sizes(entries, limits)?;
    for entry in entries {
        path::check(&entry.path).map_err(|fault| Refusal::Path { path: entry.path.clone(), fault })?;
    }
    if let Some(pair) = entries.windows(2).find(|pair| pair[0].path.as_bytes() >= pair[1].path.as_bytes()) {
        return Err(Refusal::Order { path: pair[1].path.clone() });
    }
    places(entries)?;
    names(entries)?;
    let links: HashMap<&str, &str> = entries.iter().filter_map(link).collect();
    for (path, target) in entries.iter().filter_map(link) {
        links::inside(path, &links).map_err(|fault| Refusal::Link {
            path: path.to_owned(),
            target: target.to_owned(),
            fault,
        })?;
    }
    Ok(())
}

fn link(entry: &Entry) -> Option<(&str, &str)> {
    match &entry.kind {
        Kind::Link { target } => Some((entry.path.as_str(), target.as_str())),
        Kind::File { .. } => None,
    }
}

fn sizes(entries: &[Entry], limits: &Limits) -> Result<(), Refusal> {
    let bytes = entries.iter().fold(0u64, |sum, entry| sum.saturating_add(entry.bytes()));
    if bytes > limits.bytes { Err(Refusal::TooLarge { bytes, limit: limits.bytes }) } else { Ok(()) }
}

/// What lies in a directory lies in nothing else: a link in its place would lead the writer elsewhere.
fn places(entries: &[Entry]) -> Result<(), Refusal> {
    let known: HashSet<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
    for entry in entries {
        if let Some(above) = parents(&entry.path).find(|above| known.contains(above)) {
            return Err(Refusal::Beneath { path: entry.path.clone(), above: above.to_owned() });
        }
    }
    Ok(())
}

/// One file must not become another where the file system folds names.
fn names(entries: &[Entry]) -> Result<(), Refusal> {
    let mut folded: HashMap<String, &str> = HashMap::new();
    for entry in entries {
        for path in std::iter::once(entry.path.as_str()).chain(parents(&entry.path)) {
            match folded.get(&path.to_lowercase()) {
                Some(&known) if known == path => break, // So are those above it.
                Some(&known) => {
                    return Err(Refusal::Collision { first: known.to_owned(), second: path.to_owned() });
                }
                None => {
                    folded.insert(path.to_lowercase(), path);
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::links::LinkFault;
    use crate::path::PathFault;

    fn file(path: &str) -> Entry {
        Entry { path: path.to_owned(), kind: Kind::File { bytes: 1, executable: false } }
    }

    fn to(path: &str, target: &str) -> Entry {
        Entry { path: path.to_owned(), kind: Kind::Link { target: target.to_owned() } }
    }

    fn refused(entries: &[Entry]) -> Refusal {
        judge(entries, &Limits::default()).expect_err("refused")
    }

    #[test]
    fn an_ordinary_project_is_taken() {
        let entries = [file(".gitignore"), file("a.b"), file("a/b.py"), file("a/c.py"), to("latest", "a/b.py")];
        assert_eq!(judge(&entries, &Limits::default()), Ok(()));
        assert_eq!(judge(&[], &Limits::default()), Ok(()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let path = |path: &str, fault| Refusal::Path { path: path.to_owned(), fault };
        assert_eq!(refused(&[file("../a")]), path("../a", PathFault::Dots));
        assert_eq!(refused(&[file("/etc/passwd")]), path("/etc/passwd", PathFault::Absolute));
        assert_eq!(refused(&[file("a\0b")]), path("a\0b", PathFault::Nul));
        assert_eq!(refused(&[file("b"), file("a")]), Refusal::Order { path: "a".to_owned() });
        assert_eq!(refused(&[file("a"), file("a")]), Refusal::Order { path: "a".to_owned() });
        let beneath = Refusal::Beneath { path: "a/b".to_owned(), above: "a".to_owned() };
        assert_eq!(refused(&[file("a"), file("a.c"), file("a/b")]), beneath);
        assert_eq!(refused(&[to("a", "c"), file("a/b")]), beneath);
        let link = Refusal::Link { path: "a".to_owned(), target: "../b".to_owned(), fault: LinkFault::Outside };
        assert_eq!(refused(&[to("a", "../b")]), link);
    }

    #[test]
    fn names_that_differ_in_case_alone_are_refused_directories_too() {
        for entries in [
            [file("Read.me"), file("read.me")],
            [file("Lib/a.py"), file("lib/b.py")],
            [file("x/LIB/a"), file("x/lib")],
            [file("Ä.py"), file("ä.py")],
        ] {
            assert!(matches!(refused(&entries), Refusal::Collision { .. }), "{entries:?}");
        }
        assert_eq!(judge(&[file("lib/a.py"), file("lib/b.py")], &Limits::default()), Ok(()));
    }

    #[test]
    fn limits_hold_to_the_last_file_and_byte() {
        let entries: Vec<Entry> = (0..5).map(|n| file(&format!("{n}"))).collect();
        let of = |files, bytes| judge(&entries, &Limits { files, bytes });
        assert_eq!(of(5, 5), Ok(()));
        assert_eq!(of(4, 5), Err(Refusal::TooManyFiles { files: 5, limit: 4 }));
        assert_eq!(of(5, 4), Err(Refusal::TooLarge { bytes: 5, limit: 4 }));
        let huge =
            [0, 1].map(|n| Entry { path: format!("{n}"), kind: Kind::File { bytes: u64::MAX, executable: false } });
        assert_eq!(judge(&huge, &Limits::default()), Err(Refusal::TooLarge { bytes: u64::MAX, limit: 64 << 20 }));
    }
}
