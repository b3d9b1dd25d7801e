//! Python beside the program: the same interpreter, without DSPex.

use std::path::Path;

use crate::command::Dspex;
use crate::output::Output;
use crate::places;
use crate::project::Project;

/// Runs a script in the project's directory; the bundled package `dspex` can be imported.
///
/// # Panics
/// When it takes longer than a command may.
#[track_caller]
pub fn python(project: &Project, script: &str, arguments: &[&str]) -> Output {
    let cache = project.path(".dspy-cache");
    std::fs::create_dir_all(&cache).expect("a directory");
    Dspex::of(&places::interpreter(), Path::new("/nonexistent"), &cache)
        .directory(project.directory())
        .env("PYTHONPATH", places::checkout().join("python-runtime/python"))
        .args(["-c", script])
        .args(arguments)
        .run()
}
