//! Which paths may stand in a bundle: those that name one place below the root, and the same one on every machine.

use std::fmt;

use crate::limits::{DEPTH_MAX, NAME_BYTES_MAX, PATH_BYTES_MAX};

/// Why a path cannot stand in a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PathFault {
    /// It names nothing.
    Empty,
    /// It begins at the root of the file system.
    Absolute,
    /// A part of it is empty, `.` or `..`.
    Dots,
    /// It holds a NUL, which ends names elsewhere.
    Nul,
    /// No file system takes it.
    TooLong,
    /// It lies in too many directories.
    TooDeep,
    /// Names are bytes here and text elsewhere.
    NotUtf8,
}

impl fmt::Display for PathFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "is empty",
            Self::Absolute => "is absolute",
            Self::Dots => "has a part that is empty, \".\" or \"..\"",
            Self::Nul => "holds a NUL",
            Self::TooLong => "is longer than 1024 bytes, or a name in it longer than 255",
            Self::TooDeep => "lies in more than 64 directories",
            Self::NotUtf8 => "is not UTF-8",
        })
    }
}

/// Judges a path from the root.
///
/// # Errors
/// What is wrong with it.
pub fn check(path: &str) -> Result<(), PathFault> {
    if path.is_empty() {
        return Err(PathFault::Empty);
    }
    if path.contains('\0') {
        return Err(PathFault::Nul);
    }
    if path.starts_with('/') {
        return Err(PathFault::Absolute);
    }
    if path.len() > PATH_BYTES_MAX || path.split('/').any(|name| name.len() > NAME_BYTES_MAX) {
        return Err(PathFault::TooLong);
    }
    if path.split('/').any(|name| matches!(name, "" | "." | "..")) {
        return Err(PathFault::Dots);
    }
    match parents(path).count() > DEPTH_MAX {
        true => Err(PathFault::TooDeep),
        false => Ok(()),
    }
}

/// The directories above a path, the nearest first, without the root.
pub(crate) fn parents(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(parent(path), |path| parent(path))
}

/// The directory of a path; `None`: the root.
pub(crate) fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(parent, _)| parent)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_paths_below_the_root_are_taken() {
        for path in ["a", "a/b.py", ".hidden", "..a", "a..", "a/...", "ü/文", "a\\b", "a b\n"] {
            assert_eq!(check(path), Ok(()), "{path:?}");
        }
        let long = "a".repeat(256);
        let longer = format!("{}a", "abcdefghi/".repeat(103));
        let deep = format!("{}a", "b/".repeat(65));
        assert_eq!(check(&deep[2..]), Ok(()));
        for (path, fault) in [
            ("", PathFault::Empty),
            ("/etc/passwd", PathFault::Absolute),
            ("//a", PathFault::Absolute),
            ("../a", PathFault::Dots),
            ("a/../b", PathFault::Dots),
            ("a/..", PathFault::Dots),
            ("./a", PathFault::Dots),
            ("a//b", PathFault::Dots),
            ("a/", PathFault::Dots),
            ("a\0b", PathFault::Nul),
            ("/a\0", PathFault::Nul),
            (long.as_str(), PathFault::TooLong),
            (longer.as_str(), PathFault::TooLong),
            (deep.as_str(), PathFault::TooDeep),
        ] {
            assert_eq!(check(path), Err(fault), "{path:?}");
        }
    }

    #[test]
    fn the_nearest_directory_comes_first() {
        assert_eq!(parents("a/b/c").collect::<Vec<_>>(), ["a/b", "a"]);
        assert_eq!(parents("a").count(), 0);
    }

    proptest! {
        /// What is taken names a place below the root for everybody who joins it to one.
        #[test]
        fn a_path_that_is_taken_stays_below_the_root(path in "[./ab\0]{0,12}") {
            if check(&path).is_ok() {
                let joined = std::path::Path::new("/root").join(&path);
                let plain = |part: std::path::Component<'_>| matches!(part, std::path::Component::Normal(_));
                prop_assert!(std::path::Path::new(&path).components().all(plain));
                prop_assert!(joined.starts_with("/root"));
                prop_assert_eq!(joined.to_string_lossy(), format!("/root/{path}"));
            }
        }
    }
}
