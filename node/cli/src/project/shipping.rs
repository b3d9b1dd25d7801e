//! A program's way to a node elsewhere: its project is packed and sent, its needs are asked for, and what was typed is written as
//! it is meant there.

use std::path::{Path, PathBuf};

use dspex_api::v1::ShippedCode;
use dspex_api::{Client, reason};
use dspex_bundle::Secrets;

use super::largest::size;
use super::needs::{self, Needs};
use super::packing::{Wanted, pack_project};
use super::places::{Outside, Places, file_and_name, file_and_name_of_lm};
use super::root;
use super::upload::{Stored, send};
use crate::environment;
use crate::error::CommandError;

/// Where the file of `--load` lies in the bundle, wherever it lies here.
const STATES: &str = ".dspex-load";

/// What was typed.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// PROGRAM.
    pub program: &'a str,
    /// METRIC.
    pub metric: &'a str,
    /// `--lm`.
    pub lm: Option<&'a str>,
    /// `--load`.
    pub state: Option<&'a str>,
    /// `--devset`, where it is `path.py:name` or `module:name`.
    pub dataset: Option<&'a str>,
    /// `--environment`.
    pub environment: Option<&'a str>,
    /// `--bundle-limit`.
    pub bytes_max: u64,
    /// The caller's Python; without one the environment must be named.
    pub interpreter: Option<&'a Path>,
}

/// The same as the node is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// Code and environment.
    pub shipped: ShippedCode,
    /// PROGRAM, from where workers start.
    pub program: String,
    /// METRIC.
    pub metric: String,
    /// `--lm`.
    pub lm: Option<String>,
    /// `--load`.
    pub state: Option<String>,
    /// `--devset`.
    pub dataset: Option<String>,
    /// The project, where one was needed.
    pub bundle: Option<Stored>,
}

impl Sent {
    /// What a person wants to know of it.
    pub fn note(&self) -> Option<String> {
        let Stored { files, bytes, was_there, .. } = self.bundle.as_ref()?;
        let what = if *was_there { "is there already, unchanged" } else { "was sent" };
        Some(format!("the project ({files} files, {}) {what}", size(*bytes)))
    }
}

/// Sends what the program needs and the node lacks.
pub async fn ship(client: &Client, asked: &Asked<'_>) -> Result<Sent, CommandError> {
    let directory = std::env::current_dir()?.canonicalize()?;
    let home = std::env::home_dir();
    let unrooted = Places { root: Path::new("/"), directory: &directory, home: home.as_deref() };
    let start = match file_and_name(asked.program) {
        Some((file, _)) => settled(&unrooted, file).parent().map_or_else(|| directory.clone(), Path::to_owned),
        None => directory.clone(),
    };
    let root = root::find(&start);
    let places = Places { root: &root, ..unrooted };
    let typed = Typed::of(asked, &places)?;
    let needs = match asked.interpreter {
        Some(interpreter) => {
            let needs = needs::ask(interpreter, &root, &directory, &references(asked)).await?;
            if asked.environment.is_none() {
                needs.check(&root, interpreter)?;
            }
            Some(needs)
        }
        None => None,
    };
    let imported: &[String] = needs.as_ref().map_or(&[], |needs| &needs.files);
    // A program that is installed has no project.
    let has_project = needs.is_none() || !imported.is_empty() || !typed.files.is_empty() || asked.state.is_some();
    let bundle = match has_project {
        true => {
            let needed: Vec<&str> = typed.files.iter().chain(imported).map(String::as_str).collect();
            let secrets = Secrets::of(&environment::of_caller());
            let wanted = Wanted {
                root: &root,
                bytes_max: asked.bytes_max,
                secrets: &secrets,
                needed: &needed,
                added: &typed.added,
            };
            Some(send(client, pack_project(&wanted)?).await?)
        }
        false => None,
    };
    let shipped = ShippedCode {
        bundle: bundle.as_ref().map(|stored| stored.digest.clone()).unwrap_or_default(),
        directory: if bundle.is_some() { places.start() } else { String::new() },
        path: needs.as_ref().filter(|_| bundle.is_some()).map(|needs| needs.path.clone()).unwrap_or_default(),
        fingerprint: needs.as_ref().map(Needs::fingerprint),
        environment: asked.environment.unwrap_or_default().to_owned(),
    };
    let Typed { program, metric, lm, state, dataset, .. } = typed;
    Ok(Sent { shipped, program, metric, lm, state, dataset, bundle })
}

/// What was typed, as it is typed on the node, and the files that it names.
#[derive(Debug, PartialEq)]
struct Typed {
    program: String,
    metric: String,
    lm: Option<String>,
    state: Option<String>,
    dataset: Option<String>,
    /// From the root.
    files: Vec<String>,
    added: Vec<(String, PathBuf)>,
}

impl Typed {
    fn of(asked: &Asked<'_>, places: &Places<'_>) -> Result<Self, CommandError> {
        let mut files = Vec::new();
        let mut there = |typed: &str, named: Option<(&str, &str)>, what: &str, missing: &'static str| {
            let Some((file, name)) = named else { return Ok(typed.to_owned()) };
            let whole = settled(places, file);
            if !whole.is_file() {
                let message = format!("there is no file {} ({what} {typed})", whole.display());
                return Err(CommandError::because(missing, message));
            }
            let from_root =
                places.path_from_root(&whole.to_string_lossy()).map_err(|outside| refused(&outside, places, what))?;
            let typed = format!("{}:{name}", places.typed_there(&from_root));
            files.push(from_root);
            Ok(typed)
        };
        let program = there(asked.program, file_and_name(asked.program), "PROGRAM", reason::PROGRAM_MISSING)?;
        let metric = there(asked.metric, file_and_name(asked.metric), "--metric", reason::METRIC_MISSING)?;
        let lm = asked.lm.map(|lm| there(lm, file_and_name_of_lm(lm), "--lm", reason::LM_MISSING)).transpose()?;
        let dataset = asked
            .dataset
            .map(|dataset| there(dataset, file_and_name(dataset), "--devset", reason::DATASET_MISSING))
            .transpose()?;
        let mut added = Vec::new();
        let state = asked.state.map(|state| {
            let place = places.whole(state);
            let name = place.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let path = format!("{STATES}/{name}");
            let typed = places.typed_there(&path);
            added.push((path, place));
            typed
        });
        Ok(Self { program, metric, lm, state, dataset, files, added })
    }
}

/// Whole, without links in its directories: the project is known by its own name.
fn settled(places: &Places<'_>, typed: &str) -> PathBuf {
    let whole = places.whole(typed);
    let directory = whole.parent().and_then(|directory| directory.canonicalize().ok());
    match (directory, whole.file_name()) {
        (Some(directory), Some(name)) => directory.join(name),
        _ => whole,
    }
}

fn refused(Outside(path): &Outside, places: &Places<'_>, what: &str) -> CommandError {
    let root = places.root.display();
    let message = format!("{what}: {} lies outside of the program's project, {root}", path.display());
    CommandError::because(reason::PROJECT_INVALID, message).hint(
        "put a pyproject.toml, which may be empty, into a directory above both: the nearest one above the program's file says what \
         the project is",
    )
}

/// Everything that is imported when the program is loaded.
fn references(asked: &Asked<'_>) -> Vec<String> {
    let lm = asked.lm.filter(|lm| file_and_name_of_lm(lm).is_some() || (lm.contains(':') && !lm.contains('/')));
    [Some(asked.program), Some(asked.metric), lm, asked.dataset].into_iter().flatten().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked<'a>(program: &'a str, metric: &'a str) -> Asked<'a> {
        Asked {
            program,
            metric,
            lm: None,
            state: None,
            dataset: None,
            environment: None,
            bytes_max: 1 << 20,
            interpreter: None,
        }
    }

    fn project() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().canonicalize().expect("there").join("p");
        std::fs::create_dir_all(root.join("a")).expect("directories");
        for file in ["p/qa.py", "p/a/m.py", "p/lm.py", "other.py", "state.json"] {
            std::fs::write(directory.path().join(file), "").expect("written");
        }
        (directory, root)
    }

    #[test]
    fn what_was_typed_is_written_as_it_is_meant_there() {
        let (_kept, root) = project();
        let directory = root.join("a");
        let places = Places { root: &root, directory: &directory, home: None };
        let metric = format!("{}:exact", root.join("a/m.py").display());
        let whole = Asked { lm: Some("../lm.py:lm"), state: Some("../../state.json"), ..asked("../qa.py:qa", &metric) };
        let typed = Typed::of(&whole, &places).expect("inside");
        assert_eq!((typed.program.as_str(), typed.metric.as_str()), ("../qa.py:qa", "m.py:exact"));
        assert_eq!(
            (typed.lm.as_deref(), typed.state.as_deref()),
            (Some("../lm.py:lm"), Some("../.dspex-load/state.json"))
        );
        assert_eq!(typed.files, ["qa.py", "a/m.py", "lm.py"]);
        assert_eq!(typed.added[0].0, ".dspex-load/state.json");
    }

    #[test]
    fn modules_and_models_are_written_as_they_are() {
        let (_kept, root) = project();
        let places = Places { root: &root, directory: &root, home: None };
        let named =
            Asked { lm: Some("ollama/llama3:8b"), dataset: Some("data:dev"), ..asked("pkg.qa:qa", "pkg.m:exact") };
        let typed = Typed::of(&named, &places).expect("modules");
        assert_eq!(
            (typed.program.as_str(), typed.lm.as_deref(), typed.files.len()),
            ("pkg.qa:qa", Some("ollama/llama3:8b"), 0)
        );
        assert_eq!(references(&named), ["pkg.qa:qa", "pkg.m:exact", "data:dev"]);
    }

    #[test]
    fn a_file_that_is_not_there_or_not_in_the_project_is_named() {
        let (_kept, root) = project();
        let places = Places { root: &root, directory: &root, home: None };
        let missing = Typed::of(&asked("gone.py:qa", "qa.py:m"), &places).expect_err("missing");
        assert_eq!((missing.reason.as_ref(), missing.exit), (reason::PROGRAM_MISSING, 2));
        let outside = Typed::of(&asked("qa.py:qa", "../other.py:m"), &places).expect_err("outside");
        assert_eq!(outside.reason, reason::PROJECT_INVALID);
        assert!(outside.message.contains("other.py") && outside.message.contains("--metric"), "{outside}");
    }

    #[test]
    fn a_project_is_known_by_its_own_name_however_it_was_reached() {
        let (kept, root) = project();
        let link = kept.path().join("link");
        std::os::unix::fs::symlink(&root, &link).expect("a link");
        let places = Places { root: &root, directory: &root, home: None };
        let program = format!("{}/qa.py:qa", link.display());
        let typed = Typed::of(&asked(&program, "qa.py:m"), &places).expect("inside");
        assert_eq!(typed.program, "qa.py:qa");
    }

    #[test]
    fn what_became_of_the_project_is_said() {
        let stored = Stored { digest: "d".to_owned(), files: 3, bytes: 2048, was_there: true };
        let sent = Sent {
            shipped: ShippedCode::default(),
            program: String::new(),
            metric: String::new(),
            lm: None,
            state: None,
            dataset: None,
            bundle: Some(stored),
        };
        assert_eq!(sent.note().as_deref(), Some("the project (3 files, 2.0 KiB) is there already, unchanged"));
        assert_eq!(Sent { bundle: None, ..sent }.note(), None);
    }
}
