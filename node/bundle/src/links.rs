//! Where the links of a bundle lead. Each is followed as the kernel would, through the other links of the bundle: a look at the
//! text alone would let `a -> .` and `b -> a/../..` out together.

use std::collections::HashMap;
use std::fmt;

use crate::limits::{LINKS_MAX, PATH_BYTES_MAX};
use crate::path::parent;

/// Why a link cannot stand in a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkFault {
    /// It leads out of the root.
    Outside,
    /// It leads to itself.
    Loop,
    /// Its target is empty, absolute, too long, or holds a NUL.
    Target,
}

impl fmt::Display for LinkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Outside => "leads out of the project",
            Self::Loop => "leads to itself",
            Self::Target => "has a target that is empty, absolute, longer than 1024 bytes, or holds a NUL",
        })
    }
}

/// Follows the link at `path` among the `links` of its bundle (path -> target).
///
/// # Errors
/// When it leads out of the root, or nowhere for ever. One that leads to what is not there is no fault: nothing is found there.
pub fn inside(path: &str, links: &HashMap<&str, &str>) -> Result<(), LinkFault> {
    let mut place: Vec<&str> = parent(path).map(|parent| parent.split('/').collect()).unwrap_or_default();
    // The names that are still to be followed, the next one last.
    let mut ahead: Vec<&str> = Vec::new();
    let mut followed = 0;
    let mut next = links.get(path).copied();
    loop {
        if let Some(target) = next.take() {
            followed += 1;
            if followed > LINKS_MAX {
                return Err(LinkFault::Loop);
            }
            check_target(target)?;
            ahead.extend(target.split('/').rev());
        }
        let Some(name) = ahead.pop() else { return Ok(()) };
        match name {
            "" | "." => {}
            ".." => {
                place.pop().ok_or(LinkFault::Outside)?;
            }
            name => {
                place.push(name);
                next = links.get(place.join("/").as_str()).copied();
                if next.is_some() {
                    place.pop();
                }
            }
        }
    }
}

fn check_target(target: &str) -> Result<(), LinkFault> {
    let is_wrong = target.is_empty() || target.starts_with('/') || target.contains('\0');
    if is_wrong || target.len() > PATH_BYTES_MAX { Err(LinkFault::Target) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn judge(links: &[(&str, &str)]) -> Vec<Result<(), LinkFault>> {
        let table: HashMap<&str, &str> = links.iter().copied().collect();
        links.iter().map(|(path, _)| inside(path, &table)).collect()
    }

    #[test]
    fn a_link_stays_below_the_root() {
        for target in ["b", "../b", "./b", "../x/../b", "nowhere/at/all", "../", "..", "b/"] {
            assert_eq!(judge(&[("x/a", target)]), [Ok(())], "{target}");
        }
        for target in ["../..", "../../etc/passwd", "../x/../../etc", "y/../../../b"] {
            assert_eq!(judge(&[("x/a", target)]), [Err(LinkFault::Outside)], "{target}");
        }
        for target in ["/etc/passwd", "", "/", "a\0b"] {
            assert_eq!(judge(&[("x/a", target)]), [Err(LinkFault::Target)], "{target:?}");
        }
    }

    #[test]
    fn links_are_followed_through_other_links() {
        let outside = Err(LinkFault::Outside);
        assert_eq!(judge(&[("here", "."), ("out", "here/../etc")]), [Ok(()), outside]);
        assert_eq!(judge(&[("d", "a/b"), ("in", "d/../../c"), ("out", "d/../../../c")]), [Ok(()), Ok(()), outside]);
        assert_eq!(judge(&[("a", "b"), ("b", "c"), ("c", "../x")]), [outside, outside, outside]);
    }

    #[test]
    fn a_loop_ends() {
        let endless = Err(LinkFault::Loop);
        assert_eq!(judge(&[("a", "a")]), [endless]);
        assert_eq!(judge(&[("a", "b/x"), ("b", "a")]), [endless, endless]);
        // Each doubles what the one before leads through: the number of links that are followed is bounded, not their text.
        let names: Vec<(String, String)> = (0..60).map(|n| (format!("l{n}"), format!("l{0}/l{0}", n + 1))).collect();
        let links: Vec<(&str, &str)> = names.iter().map(|(path, target)| (path.as_str(), target.as_str())).collect();
        assert_eq!(judge(&links)[0], endless);
    }

    /// As the kernel does it: made in a directory, a link that is judged to stay inside leads nowhere else.
    fn leads_out_in_truth(links: &[(String, String)]) -> Vec<bool> {
        use std::os::unix::fs::symlink;
        let outer = tempfile::tempdir().expect("a directory");
        let root = outer.path().join("mid/root");
        for directory in ["a/b", "c"] {
            std::fs::create_dir_all(root.join(directory)).expect("a directory");
        }
        for (path, target) in links {
            symlink(target, root.join(path)).expect("a link");
        }
        let root = root.canonicalize().expect("there");
        let out = |path: &String| root.join(path).canonicalize().is_ok_and(|found| !found.starts_with(&root));
        links.iter().map(|(path, _)| out(path)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn what_is_judged_inside_is_inside(
            targets in proptest::collection::vec("(a|b|c|l0|l1|l2|\\.|\\.\\.)(/(a|b|c|l0|l1|l2|\\.\\.|\\.)){0,4}", 3),
            homes in proptest::collection::vec(prop_oneof![Just(""), Just("a/"), Just("a/b/")], 3),
        ) {
            let links: Vec<(String, String)> =
                targets.into_iter().zip(homes).enumerate().map(|(n, (target, home))| (format!("{home}l{n}"), target)).collect();
            let table: HashMap<&str, &str> = links.iter().map(|(path, target)| (path.as_str(), target.as_str())).collect();
            for ((path, _), out) in links.iter().zip(leads_out_in_truth(&links)) {
                prop_assert!(!(out && inside(path, &table).is_ok()), "{path} of {links:?} leads out");
            }
        }
    }
}
