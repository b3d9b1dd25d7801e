//! What is never sent, whatever a `.gitignore` says: secrets, what tools make again, and other people's code.

/// Names of files and directories.
const NAMES: [&str; 24] = [
    ".git",
    ".hg",
    ".svn",
    ".venv",
    ".ssh",
    ".gnupg",
    ".aws",
    ".netrc",
    ".pypirc",
    "__pycache__",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".hypothesis",
    ".ipynb_checkpoints",
    ".tox",
    ".nox",
    ".eggs",
    ".cache",
    ".dspy_cache",
    ".direnv",
    ".idea",
    ".DS_Store",
    "node_modules",
];
const BEGINNINGS: [&str; 1] = [".env"];
const ENDINGS: [&str; 3] = [".pem", ".key", ".pyc"];

/// Whether a name is left out, in whatever directory.
pub fn by_name(name: &str) -> bool {
    NAMES.contains(&name)
        || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
        || ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// Whether a directory is left out for what is in it: a virtual environment of any name, or what a node of DSPex keeps, its token
/// included. `read` gives the beginning of a file in it.
pub fn by_contents(read: &dyn Fn(&str) -> Option<Vec<u8>>) -> bool {
    let is_of_a_node = |file: &str| read(file).is_some_and(|bytes| bytes.starts_with(b"dspex data directory"));
    read("pyvenv.cfg").is_some() || is_of_a_node("FORMAT") || is_of_a_node("data/FORMAT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_caches_are_left_out_and_code_is_not() {
        for name in [".git", ".venv", ".env", ".env.local", ".envrc", "tls.pem", "id.key", ".key", "__pycache__"] {
            assert!(by_name(name), "{name}");
        }
        for name in
            [".gitignore", ".github", "env", "venv.py", "key.py", "keys", "pem", "environment.yml", "data", "x.pyi"]
        {
            assert!(!by_name(name), "{name}");
        }
    }

    #[test]
    fn environments_and_homes_of_nodes_are_known_by_what_is_in_them() {
        let with = |file: &'static str, text: &'static str| {
            by_contents(&move |asked| (asked == file).then(|| text.as_bytes().to_vec()))
        };
        assert!(with("pyvenv.cfg", "home = /usr/bin") && with("FORMAT", "dspex data directory\nformat = 1"));
        assert!(with("data/FORMAT", "dspex data directory\n"));
        assert!(!with("FORMAT", "parquet") && !with("data/FORMAT", "") && !with("qa.py", ""));
    }
}
