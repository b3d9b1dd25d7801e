//! Where workers start, and their Python, as a file names them. A wrong path is told at the node's start by its key: a
//! worker could only say that it did not start.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Whether workers can be started with this interpreter.
pub(crate) fn interpreter(key: &str, path: &Path) -> Result<(), String> {
    let shown = path.display();
    let metadata = std::fs::metadata(path).map_err(|error| format!("{key}: {shown}: {error}"))?;
    if metadata.is_dir() {
        return Err(format!("{key}: {shown} is a directory; name the interpreter in it, like {shown}/bin/python"));
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err(format!("{key}: {shown} cannot be executed"));
    }
    Ok(())
}

/// Whether workers can start in this directory.
pub(crate) fn directory(key: &str, path: &Path) -> Result<(), String> {
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(format!("{key}: {shown} is not a directory")),
        Err(error) => Err(format!("{key}: {shown}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_path_is_told_by_its_key_and_why() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let program = std::env::current_exe().expect("this program");
        assert_eq!(interpreter("python.interpreter", &program), Ok(()));
        assert_eq!(directory("python.directory", here), Ok(()));
        for (told, why) in [
            (interpreter("key", Path::new("/nonexistent")), "No such file"),
            (interpreter("key", here), "/bin/python"),
            (interpreter("key", &here.join("Cargo.toml")), "cannot be executed"),
            (directory("key", Path::new("/nonexistent")), "No such file"),
            (directory("key", &program), "not a directory"),
        ] {
            let error = told.expect_err(why);
            assert!(error.starts_with("key: ") && error.contains(why), "{error}");
        }
    }
}
