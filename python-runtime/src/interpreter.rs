//! Which Python runs a program. Pure: the environment and the question whether a file exists come in as data.
//!
//! `--python` > `DSPEX_PYTHON` > `VIRTUAL_ENV` > `CONDA_PREFIX` > `.venv` in PROGRAM's parents > the interpreter beside `dspex`.
//! Symbolic links are not resolved: `.venv/bin/python` is one, and its target would be an interpreter outside the environment.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::environment::Environment;

/// What the choice depends on.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// The value of `--python`: a file, a virtual environment's directory, or a command found on `PATH`.
    pub option: Option<&'a str>,
    /// The caller's environment.
    pub environment: &'a Environment,
    /// The caller's working directory; relative names start here.
    pub directory: &'a Path,
    /// The file of PROGRAM, where it is one.
    pub program: Option<&'a Path>,
    /// The path of the `dspex` executable.
    pub executable: Option<&'a Path>,
}

/// The interpreter chosen, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    /// Absolute path, links unresolved.
    pub path: PathBuf,
    /// What named it, for people: "--python", "VIRTUAL_ENV", ".venv", "beside dspex", ...
    pub reason: &'static str,
}

/// No interpreter was found, or the one asked for is not there. Its text says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoInterpreter {
    /// `--python` or `DSPEX_PYTHON` names something that is not there: nothing else is tried in its place.
    #[error("{0} names {1:?}, but no Python interpreter is there: give the path of one that has dspy installed")]
    Missing(&'static str, String),
    /// Nothing names an interpreter.
    #[error(
        "no Python interpreter found (looked for {0}): activate a virtual environment with dspy installed, or name its interpreter with --python or DSPEX_PYTHON"
    )]
    Nowhere(Tried),
}

/// The places that were looked at, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried(pub Vec<String>);

impl fmt::Display for Tried {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join(", "))
    }
}

/// Chooses the interpreter; `exists` says whether a path is a file.
pub fn choose(search: &Search<'_>, exists: impl Fn(&Path) -> bool) -> Result<Interpreter, NoInterpreter> {
    let variable = |name: &str| search.environment.get(name).map(String::as_str).filter(|value| !value.is_empty());
    for (reason, value) in [("--python", search.option), ("DSPEX_PYTHON", variable("DSPEX_PYTHON"))] {
        if let Some(value) = value {
            return named(value, search, &exists)
                .map(|path| Interpreter { path, reason })
                .ok_or_else(|| NoInterpreter::Missing(reason, value.to_owned()));
        }
    }
    let mut tried = vec!["--python".to_owned(), "DSPEX_PYTHON".to_owned()];
    for (reason, place) in places(search, &variable) {
        match place.and_then(|folder| in_folder(&folder, &exists).ok_or(folder)) {
            Ok(path) => return Ok(Interpreter { path, reason }),
            Err(folder) if folder.as_os_str().is_empty() => tried.push(reason.to_owned()),
            Err(folder) => tried.push(format!("{reason} in {}", folder.display())),
        }
    }
    Err(NoInterpreter::Nowhere(Tried(tried)))
}

/// The folders that may hold `python`, in order; an `Err` with an empty path stands for a place that nothing names.
fn places<'s>(
    search: &Search<'_>,
    variable: &impl Fn(&str) -> Option<&'s str>,
) -> Vec<(&'static str, Result<PathBuf, PathBuf>)> {
    let prefix =
        |name: &str| variable(name).map(|value| search.directory.join(value).join("bin")).ok_or_else(PathBuf::new);
    let mut places = vec![("VIRTUAL_ENV", prefix("VIRTUAL_ENV")), ("CONDA_PREFIX", prefix("CONDA_PREFIX"))];
    let start = match search.program {
        Some(file) => search.directory.join(file).parent().map(Path::to_path_buf).unwrap_or_default(),
        None => search.directory.to_path_buf(),
    };
    places.extend(start.ancestors().map(|parent| (".venv", Ok(parent.join(".venv/bin")))));
    let beside = search.executable.and_then(Path::parent).map(Path::to_path_buf).ok_or_else(PathBuf::new);
    places.push(("beside dspex", beside));
    places
}

/// `python` first: in a virtual environment it is the name that is always there.
fn in_folder(folder: &Path, exists: &impl Fn(&Path) -> bool) -> Option<PathBuf> {
    ["python", "python3"].iter().map(|name| folder.join(name)).find(|path| exists(path))
}

fn named(value: &str, search: &Search<'_>, exists: &impl Fn(&Path) -> bool) -> Option<PathBuf> {
    if !value.contains('/') {
        let on_path = search.environment.get("PATH").map(String::as_str).unwrap_or_default();
        let folders = on_path.split(':').filter(|folder| !folder.is_empty());
        if let Some(path) = folders.map(|folder| Path::new(folder).join(value)).find(|path| exists(path)) {
            return Some(search.directory.join(path));
        }
    }
    let path = search.directory.join(value);
    if exists(&path) { Some(path) } else { in_folder(&path.join("bin"), exists) }
}

#[cfg(test)]
#[path = "interpreter/tests.rs"]
mod tests;
