//! Where a path leads in the end: rules and what they must not cover are compared by that.

use std::path::{Path, PathBuf};

/// The path without links. Of what is not there yet, as much as there is of it: the rest keeps its name, in the place that it will
/// have.
pub fn real_path(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let found = absolute.ancestors().find_map(|there| {
        let rest = absolute.strip_prefix(there).ok()?;
        Some(there.canonicalize().ok()?.join(rest))
    });
    // Joined to nothing a path would end in a slash.
    found.map_or(absolute, |found| found.components().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_yet_has_the_place_that_it_will_have() {
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().canonicalize().expect("there").join("data");
        std::fs::create_dir(&data).expect("made");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&data, &link).expect("linked");
        for name in ["", "bundles", "bundles/1/src"] {
            assert_eq!(real_path(&link.join(name)), data.join(name), "{name}");
        }
        std::fs::create_dir(data.join("bundles")).expect("made");
        assert_eq!(real_path(&link.join("bundles")), data.join("bundles"));
        assert_eq!(real_path(Path::new("/not/there/at/all")), Path::new("/not/there/at/all"));
        assert_eq!(real_path(&link.join("..")), directory.path().canonicalize().expect("there"), "as the kernel goes");
    }
}
