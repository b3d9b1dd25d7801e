//! Where workers start, and their Python, as a file names them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Whether workers can be started with this interpreter.
pub(crate) fn interpreter(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let metadata = std::fs::metadata(path).map_err(|error| format!("{shown}: {error}"))?;
    if metadata.is_dir() {
        return Err(format!("{shown} is a directory; name the interpreter in it, like {shown}/bin/python"));
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err(format!("{shown} cannot be executed"));
    }
    Ok(())
}

/// Whether workers can start in this directory.
pub(crate) fn directory(path: &Path) -> Result<(), String> {
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(format!("{shown} is not a directory")),
        Err(error) => Err(format!("{shown}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_path_is_told_with_the_reason() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let program = std::env::current_exe().expect("this program");
        assert_eq!(interpreter(&program), Ok(()));
        assert_eq!(directory(here), Ok(()));
        for (told, why) in [
            (interpreter(Path::new("/nonexistent")), "No such file"),
            (interpreter(here), "/bin/python"),
            (interpreter(&here.join("Cargo.toml")), "cannot be executed"),
            (directory(Path::new("/nonexistent")), "No such file"),
            (directory(&program), "not a directory"),
        ] {
            let error = told.expect_err(why);
            assert!(error.contains(why), "{error}");
        }
    }
}
