//! Which Python executes the program: `--python`, `DSPEX_PYTHON`, `VIRTUAL_ENV`, `CONDA_PREFIX`, a `.venv` in PROGRAM's
//! parents, the interpreter beside `dspex`. Decided in the caller's process, because only that has the caller's environment. One that is
//! merely on PATH is most often the system's, without dspy: it is taken by its name only.

use std::path::{Path, PathBuf};

use dspex_api::reason;

use crate::error::CommandError;

/// An interpreter and why it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    /// Absolute, symbolic links kept: a virtual environment is told by its link.
    pub path: PathBuf,
    /// "--python", "VIRTUAL_ENV", ...
    pub reason: String,
    /// Environments that were named but hold no interpreter.
    pub passed_over: Vec<String>,
}

/// Everything the choice depends on.
pub struct Surroundings<'a> {
    /// `--python`.
    pub flag: Option<&'a str>,
    /// The caller's environment.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Where the search for `.venv` starts.
    pub program_directory: &'a Path,
    /// The caller's working directory.
    pub directory: &'a Path,
    /// Directories that hold `dspex` itself.
    pub beside: &'a [PathBuf],
    /// Whether a path is a file that can be executed.
    pub is_executable: &'a dyn Fn(&Path) -> bool,
}

/// Takes the first interpreter of the rule. What is named explicitly must exist; an environment variable that another
/// tool left behind is passed over when its environment has gone.
pub fn choose(surroundings: &Surroundings<'_>) -> Result<Interpreter, CommandError> {
    let found = |path: PathBuf, reason: &str, passed_over: Vec<String>| Interpreter {
        path,
        reason: reason.to_owned(),
        passed_over,
    };
    let explicit =
        [("--python", surroundings.flag.map(str::to_owned)), ("DSPEX_PYTHON", surroundings.set("DSPEX_PYTHON"))];
    for (reason, named) in explicit {
        if let Some(named) = named {
            return match surroundings.resolve(&named) {
                Some(path) => Ok(found(path, reason, Vec::new())),
                None => Err(missing(format!("{reason} names {named}, which is no Python interpreter"), None)),
            };
        }
    }
    let mut passed_over = Vec::new();
    for reason in ["VIRTUAL_ENV", "CONDA_PREFIX"] {
        if let Some(prefix) = surroundings.set(reason) {
            match surroundings.inside(&surroundings.directory.join(&prefix)) {
                Some(path) => return Ok(found(path, reason, passed_over)),
                None => passed_over.push(format!("{reason} names {prefix}, which has no bin/python: passed over")),
            }
        }
    }
    for parent in surroundings.program_directory.ancestors() {
        if let Some(path) = surroundings.inside(&parent.join(".venv")) {
            return Ok(found(path, ".venv", passed_over));
        }
    }
    for directory in surroundings.beside {
        for name in ["python", "python3"] {
            let path = directory.join(name);
            if (surroundings.is_executable)(&path) {
                return Ok(found(path, "beside dspex", passed_over));
            }
        }
    }
    let passed_over: String = passed_over.iter().map(|text| format!("; {text}")).collect();
    let on_path = ["python", "python3"].iter().find_map(|name| surroundings.on_path(name));
    Err(missing(format!("no Python interpreter was found{passed_over}"), on_path.as_deref()))
}

impl Surroundings<'_> {
    fn set(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    fn inside(&self, environment: &Path) -> Option<PathBuf> {
        ["bin/python", "bin/python3"].iter().map(|name| environment.join(name)).find(|path| (self.is_executable)(path))
    }

    /// A path, a virtual environment's directory, or a name to look up in PATH.
    fn resolve(&self, named: &str) -> Option<PathBuf> {
        if !named.contains('/')
            && let Some(path) = self.on_path(named)
        {
            return Some(path);
        }
        let path = self.directory.join(named);
        if (self.is_executable)(&path) {
            return Some(path);
        }
        self.inside(&path)
    }

    fn on_path(&self, name: &str) -> Option<PathBuf> {
        let path = self.set("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join(name))
            .find(|path| (self.is_executable)(path))
    }
}

/// `on_path`: one that would do if it was named, and has dspy.
fn missing(message: String, on_path: Option<&Path>) -> CommandError {
    let named = on_path.map(|path| format!("; {} is on PATH and has to be named", path.display())).unwrap_or_default();
    CommandError::because(reason::PYTHON_MISSING, message).hint(format!(
        "activate a virtual environment with dspy in it, or name an interpreter with --python PATH or DSPEX_PYTHON (searched: \
         --python, DSPEX_PYTHON, VIRTUAL_ENV, CONDA_PREFIX, .venv beside or above the program, beside dspex{named})"
    ))
}

/// The choice for this process.
pub fn of_this_process(flag: Option<&str>, program: &str) -> Result<Interpreter, CommandError> {
    let directory = std::env::current_dir()?;
    let program_directory = program_directory(program, &directory);
    choose(&Surroundings {
        flag,
        variable: &|name| std::env::var(name).ok(),
        program_directory: &program_directory,
        directory: &directory,
        beside: &beside_dspex(),
        is_executable: &is_executable,
    })
}

/// The directory of `path.py:name`; a module is searched from the working directory.
fn program_directory(program: &str, directory: &Path) -> PathBuf {
    let place = program.rsplit_once(':').map_or(program, |(place, _)| place);
    if place.ends_with(".py") {
        let file = directory.join(place);
        return file.parent().unwrap_or(directory).to_owned();
    }
    directory.to_owned()
}

/// Both the directory of the link that was called and that of the file behind it: `.venv/bin/dspex` may be a link.
fn beside_dspex() -> Vec<PathBuf> {
    let called = std::env::args_os().next().map(PathBuf::from);
    let called = called.and_then(|path| {
        if path.components().count() > 1 {
            return std::path::absolute(path).ok();
        }
        let search = std::env::var_os("PATH")?;
        std::env::split_paths(&search).map(|directory| directory.join(&path)).find(|path| is_executable(path))
    });
    [called, std::env::current_exe().ok()]
        .into_iter()
        .flatten()
        .filter_map(|path| path.parent().map(Path::to_owned))
        .collect()
}

/// Whether a path is a file that this user may execute.
pub fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(flag: Option<&str>, variables: &[(&str, &str)], files: &[&str]) -> Result<(String, String), String> {
        let variable =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let chosen = choose(&Surroundings {
            flag,
            variable: &variable,
            program_directory: Path::new("/work/project/src"),
            directory: Path::new("/work"),
            beside: &[PathBuf::from("/opt/dspex/bin")],
            is_executable: &|path| files.iter().any(|file| Path::new(file) == path),
        });
        chosen.map(|interpreter| (interpreter.path.to_string_lossy().into_owned(), interpreter.reason)).map_err(
            |error| {
                assert_eq!((error.exit, error.reason.as_ref()), (2, reason::PYTHON_MISSING));
                format!("{}; {}", error.message, error.hint.unwrap_or_default())
            },
        )
    }

    #[test]
    fn the_order_is_that_of_the_contract() {
        let files = [
            "/flag/python",
            "/named/python",
            "/venv/bin/python",
            "/conda/bin/python",
            "/work/project/.venv/bin/python",
            "/opt/dspex/bin/python",
        ];
        let variables = [("DSPEX_PYTHON", "/named/python"), ("VIRTUAL_ENV", "/venv"), ("CONDA_PREFIX", "/conda")];
        let expected = [
            ("/flag/python", "--python"),
            ("/named/python", "DSPEX_PYTHON"),
            ("/venv/bin/python", "VIRTUAL_ENV"),
            ("/conda/bin/python", "CONDA_PREFIX"),
            ("/work/project/.venv/bin/python", ".venv"),
            ("/opt/dspex/bin/python", "beside dspex"),
        ];
        for (skip, (path, reason)) in expected.iter().enumerate() {
            let flag = (skip == 0).then_some("/flag/python");
            let variables = &variables[skip.saturating_sub(1).min(3)..];
            let found = check(flag, variables, &files[skip..]);
            assert_eq!(found, Ok(((*path).to_owned(), (*reason).to_owned())), "step {skip}");
        }
    }

    #[test]
    fn what_is_named_explicitly_must_exist() {
        let error = check(Some("/none"), &[("VIRTUAL_ENV", "/venv")], &["/venv/bin/python"]).expect_err("refused");
        assert!(error.contains("--python names /none"), "{error}");
        assert!(check(None, &[("DSPEX_PYTHON", "/none")], &["/opt/dspex/bin/python"]).is_err());
        let error = check(None, &[("VIRTUAL_ENV", "/gone")], &[]).expect_err("refused");
        assert!(error.contains("VIRTUAL_ENV names /gone"), "{error}");
    }

    #[test]
    fn an_environment_that_has_gone_is_passed_over() {
        let found = check(None, &[("VIRTUAL_ENV", "/gone"), ("CONDA_PREFIX", "")], &["/opt/dspex/bin/python3"]);
        assert_eq!(found, Ok(("/opt/dspex/bin/python3".into(), "beside dspex".into())));
    }

    #[test]
    fn an_interpreter_that_is_merely_on_path_is_named_and_not_taken() {
        let (variables, files) = ([("PATH", "/opt/bin:/usr/bin")], ["/usr/bin/python3"]);
        let refused = check(None, &variables, &files).expect_err("it is not looked for there");
        assert!(refused.contains("/usr/bin/python3 is on PATH and has to be named"), "{refused}");
        let named = check(Some("python3"), &variables, &files);
        assert_eq!(named, Ok(("/usr/bin/python3".into(), "--python".into())));
        assert!(check(None, &[], &files).is_err_and(|refused| !refused.contains("is on PATH")));
    }

    #[test]
    fn names_directories_and_relative_paths_are_resolved() {
        let variables = [("PATH", "/usr/bin:/opt/bin")];
        for (named, file) in [
            ("python3.12", "/opt/bin/python3.12"),
            ("env", "/work/env/bin/python"),
            ("./env/bin/python", "/work/./env/bin/python"),
            ("/abs/env", "/abs/env/bin/python3"),
        ] {
            let found = check(Some(named), &variables, &[file]);
            assert_eq!(found.map(|(path, _)| path), Ok(file.to_owned()), "{named}");
        }
    }

    #[test]
    fn the_search_starts_at_the_program() {
        let directory = Path::new("/work");
        for (program, expected) in [("a/qa.py:qa", "/work/a"), ("/x/qa.py:qa", "/x"), ("package.module:qa", "/work")] {
            assert_eq!(program_directory(program, directory), Path::new(expected), "{program}");
        }
    }
}
