//! From a project's files to one bundle: read, searched for secrets, judged.

use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use dspex_api::reason;
use dspex_bundle::{FILES_MAX, Item, Limits, Refusal, Secrets, pack};
use sha2::{Digest, Sha256};

use super::ignored::OWN;
use super::largest::{Measure, Totals, size};
use super::root;
use super::walk::{Found, FoundFile, unreadable, walk};
use crate::error::CommandError;

/// What is to be packed, and how.
pub struct Wanted<'a> {
    /// The project.
    pub root: &'a Path,
    /// The most that its files may take.
    pub bytes_max: u64,
    /// What must not be in it.
    pub secrets: &'a Secrets,
    /// What the program cannot do without, from the root.
    pub needed: &'a [&'a str],
    /// Files from elsewhere: where they are to lie, and where they do.
    pub added: &'a [(String, PathBuf)],
}

/// A project as one archive.
#[derive(Debug)]
pub struct Packed {
    /// What is uploaded.
    pub bytes: Vec<u8>,
    /// Its sha256, hex.
    pub digest: String,
    /// Files and links.
    pub files: usize,
}

/// Packs a project.
pub fn pack_project(wanted: &Wanted<'_>) -> Result<Packed, CommandError> {
    let Wanted { root, bytes_max, .. } = *wanted;
    let home = std::env::home_dir();
    root::check(root, home.as_deref())?;
    let found = walk(root, FILES_MAX)?;
    small_enough(root, &found, bytes_max)?;
    nothing_missing(root, &found.files, wanted.needed)?;
    let mut items = Vec::with_capacity(found.files.len());
    let mut left = bytes_max;
    for file in &found.files {
        let item = read(root, file, &mut left)?;
        searched(&item, wanted.secrets)?;
        items.push(item);
    }
    for (path, place) in wanted.added {
        let contents = contents(place, &mut left)?;
        let item = Item::File { path: path.clone(), executable: false, contents };
        searched(&item, wanted.secrets)?;
        items.push(item);
    }
    let files = items.len();
    let bytes = pack(items, &Limits::of_bytes(bytes_max)).map_err(|refusal| refused(root, &refusal))?;
    let digest = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Packed { bytes, digest, files })
}

/// Says what to leave out where there is too much. Nothing has been read then.
fn small_enough(root: &Path, found: &Found, bytes_max: u64) -> Result<(), CommandError> {
    let whole = found.totals.whole();
    let (measure, message) = if found.is_cut || whole.files > FILES_MAX as u64 {
        let more = if found.is_cut { "more than " } else { "" };
        (Measure::Files, format!("{more}{} files, and a bundle holds {FILES_MAX} at the most", whole.files))
    } else if whole.bytes > bytes_max {
        (Measure::Bytes, format!("{} of files, and a bundle may have {}", size(whole.bytes), size(bytes_max)))
    } else {
        return Ok(());
    };
    let error = CommandError::because(
        reason::PROJECT_INVALID,
        format!("the project {} has {message}{}", root.display(), named(&found.totals, measure)),
    );
    let advice = format!("list what workers do not need in {}, in the form of a .gitignore", root.join(OWN).display());
    Err(match measure {
        Measure::Files => error.hint(advice),
        Measure::Bytes => error.hint(format!("{advice}; or raise the limit with --bundle-limit (DSPEX_BUNDLE_LIMIT)")),
    })
}

fn named(totals: &Totals, measure: Measure) -> String {
    let largest = totals.largest(measure);
    let each = largest.iter().map(|(path, total)| match measure {
        Measure::Files => format!("{path} ({} files)", total.files),
        Measure::Bytes => format!("{path} ({})", size(total.bytes)),
    });
    let each: Vec<String> = each.collect();
    if each.is_empty() { String::new() } else { format!(". The largest: {}", each.join(", ")) }
}

/// What was typed, or is imported, must not be left out.
fn nothing_missing(root: &Path, files: &[FoundFile], needed: &[&str]) -> Result<(), CommandError> {
    let present: HashSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let Some(missing) = needed.iter().find(|path| !present.contains(*path) && root.join(path).is_file()) else {
        return Ok(());
    };
    let message = format!(
        "the program needs {missing}, which is left out of what is sent: by .gitignore or {OWN}, or because files of its name or \
         directory always are"
    );
    let own = root.join(OWN);
    Err(CommandError::because(reason::PROJECT_INVALID, message)
        .hint(format!("take it back with the line !{missing} in {}, or give the file another name", own.display())))
}

fn read(root: &Path, file: &FoundFile, left: &mut u64) -> Result<Item, CommandError> {
    let place = root.join(&file.path);
    if file.is_link {
        return Ok(Item::Link { path: file.path.clone(), target: target(root, file, &place)? });
    }
    let contents = contents(&place, left)?;
    Ok(Item::File { path: file.path.clone(), executable: file.executable, contents })
}

/// A file may have grown since it was looked at.
fn contents(place: &Path, left: &mut u64) -> Result<Vec<u8>, CommandError> {
    let mut contents = Vec::new();
    let file = fs::File::open(place).map_err(|error| unreadable(place, &error))?;
    file.take(*left + 1).read_to_end(&mut contents).map_err(|error| unreadable(place, &error))?;
    *left = left.checked_sub(contents.len() as u64).ok_or_else(|| {
        CommandError::because(
            reason::PROJECT_INVALID,
            format!("{} does not fit into the bundle any more", place.display()),
        )
        .hint("raise the limit with --bundle-limit (DSPEX_BUNDLE_LIMIT), or leave something out with .dspexignore")
    })?;
    Ok(contents)
}

/// Where a link leads, relative to where it is: the project lies elsewhere on the node.
fn target(root: &Path, file: &FoundFile, place: &Path) -> Result<String, CommandError> {
    let target = fs::read_link(place).map_err(|error| unreadable(place, &error))?;
    let inside = match target.is_absolute() {
        false => Some(target.clone()),
        true => target.strip_prefix(root).ok().map(|rest| {
            let up = "../".repeat(file.path.matches('/').count());
            // The root itself is named by no path.
            Path::new(&format!("{up}.")).join(rest)
        }),
    };
    let Some(inside) = inside else {
        let message = format!("the link {} (to {}) leads out of the project", place.display(), target.display());
        return Err(CommandError::because(reason::PROJECT_INVALID, message).hint(advice(&file.path)));
    };
    inside.into_os_string().into_string().map_err(|_| {
        let message = format!("the link {} leads to a name that is not UTF-8", place.display());
        CommandError::because(reason::PROJECT_INVALID, message).hint(advice(&file.path))
    })
}

fn refused(root: &Path, refusal: &Refusal) -> CommandError {
    let error = CommandError::because(reason::PROJECT_INVALID, format!("the project {}: {refusal}", root.display()));
    match refusal {
        Refusal::Link { path, .. } | Refusal::Path { path, .. } => error.hint(advice(path)),
        _ => error,
    }
}

fn advice(path: &str) -> String {
    format!("take it out of the project, or list /{path} in {OWN}")
}

fn searched(item: &Item, secrets: &Secrets) -> Result<(), CommandError> {
    let path = item.path();
    let inside = match item {
        Item::File { contents, .. } => secrets.find(contents),
        Item::Link { target, .. } => secrets.find(target.as_bytes()),
    };
    if let Some(found) = inside {
        return Err(secret(&format!("{path}, line {}, ", found.line), &found.variable));
    }
    match secrets.find(path.as_bytes()) {
        Some(found) => Err(secret("the name of a file ", &found.variable)),
        None => Ok(()),
    }
}

/// Names the variable and the place, never the value.
fn secret(place: &str, variable: &str) -> CommandError {
    let message = format!(
        "{place}contains the value of the environment variable {variable}, which would be sent with the project and stored"
    );
    CommandError::because(reason::SECRET_FOUND, message).hint(format!(
        "read it from os.environ[{variable:?}] where it is used, and give it to the node's workers (python.environment of its file); \
         list the file in {OWN} if workers do not need it; if it is no secret, set {}={variable}",
        dspex_bundle::NOT_SECRET_VARIABLE
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::symlink;
    use std::sync::LazyLock;

    use dspex_bundle::Archive;

    use super::*;

    static SECRETS: LazyLock<Secrets> =
        LazyLock::new(|| Secrets::of(&BTreeMap::from([("MY_API_KEY".to_owned(), "sk-0123456789".to_owned())])));

    struct Project(tempfile::TempDir);

    impl Project {
        fn of(files: &[(&str, &str)]) -> Self {
            let project = Self(tempfile::tempdir().expect("a directory"));
            for (name, text) in files {
                let path = project.0.path().join(name);
                fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
                fs::write(path, text).expect("written");
            }
            project
        }

        fn link(self, path: &str, target: impl AsRef<Path>) -> Self {
            symlink(target, self.0.path().join(path)).expect("a link");
            self
        }

        fn pack_with<'a>(&'a self, change: impl FnOnce(&mut Wanted<'a>)) -> Result<Packed, CommandError> {
            let mut wanted =
                Wanted { root: self.0.path(), bytes_max: 1 << 20, secrets: &SECRETS, needed: &[], added: &[] };
            change(&mut wanted);
            pack_project(&wanted)
        }

        fn pack(&self) -> Result<Packed, CommandError> {
            self.pack_with(|_| {})
        }

        fn refused(&self) -> CommandError {
            let error = self.pack().expect_err("refused");
            assert_eq!(error.exit, 2, "{error}");
            error
        }
    }

    #[test]
    fn an_unchanged_project_is_the_same_bytes_and_a_changed_one_is_not() {
        let project = Project::of(&[("qa.py", "x = 1"), ("a/b.py", "")]).link("a/link", "../qa.py");
        let first = project.pack().expect("packed");
        fs::write(project.0.path().join("qa.py"), "x = 1").expect("written again");
        let copy = Project::of(&[("a/b.py", ""), ("qa.py", "x = 1")]).link("a/link", "../qa.py");
        assert_eq!(project.pack().expect("packed").digest, first.digest);
        assert_eq!(copy.pack().expect("packed").digest, first.digest);
        fs::write(project.0.path().join("qa.py"), "x = 2").expect("changed");
        assert_ne!(project.pack().expect("packed").digest, first.digest);
        assert_eq!((first.files, first.digest.len()), (3, 64));
    }

    #[test]
    fn links_out_of_the_project_are_refused_by_name() {
        for target in ["/etc/passwd", "../outside", "a/../../outside"] {
            let error = Project::of(&[("a/b.py", "")]).link("leak", target).refused();
            assert!(error.message.contains("leak") && error.message.contains(target), "{error}");
            assert!(error.hint.as_ref().is_some_and(|hint| hint.contains("/leak in .dspexignore")), "{error:?}");
        }
    }

    #[test]
    fn a_link_that_names_the_project_by_its_whole_path_is_kept_as_one_inside() {
        let project = Project::of(&[("qa.py", ""), ("a/b.py", "")]);
        let whole = project.0.path().join("qa.py");
        let project = project.link("a/link", whole);
        let packed = project.pack().expect("packed");
        let archive = Archive::open(&packed.bytes, &Limits::default()).expect("a bundle");
        let shown = format!("{:?}", archive.entries());
        assert!(shown.contains("\".././qa.py\""), "{shown}");
    }

    #[test]
    fn a_secret_is_refused_with_file_line_and_variable_and_without_its_value() {
        let error = Project::of(&[("src/config.py", "import os\nKEY = \"sk-0123456789\"\n")]).refused();
        assert_eq!(error.reason, reason::SECRET_FOUND);
        assert!(error.message.starts_with("src/config.py, line 2, contains"), "{error}");
        assert!(error.message.contains("MY_API_KEY") && !format!("{error:?}").contains("sk-0123"), "{error:?}");
        let named = Project::of(&[("sk-0123456789.txt", "")]).refused();
        assert!(
            named.message.starts_with("the name of a file") && !format!("{named:?}").contains("sk-0123"),
            "{named:?}"
        );
        assert!(Project::of(&[(".env", "KEY=sk-0123456789")]).pack().is_ok(), "what is not sent may hold it");
    }

    #[test]
    fn what_is_too_large_is_named_before_it_is_read() {
        let project = Project::of(&[("qa.py", ""), ("data/large.bin", &"x".repeat(2 << 20))]);
        let error = project.refused();
        assert!(error.message.contains("data/large.bin (2.0 MiB)"), "{error}");
        let hint = error.hint.expect("advice");
        assert!(hint.contains(".dspexignore") && hint.contains("--bundle-limit"), "{hint}");
        assert!(project.pack_with(|wanted| wanted.bytes_max = 3 << 20).is_ok());
        fs::write(project.0.path().join(".dspexignore"), "data/\n").expect("written");
        assert!(project.pack().is_ok());
    }

    #[test]
    fn a_hundred_thousand_files_are_refused_with_the_directory_that_holds_them() {
        let project = Project::of(&[("qa.py", ""), ("images/one", "")]);
        let (one, images) = (project.0.path().join("images/one"), project.0.path().join("images"));
        for number in 0..100_000 {
            // Names alone: a thousand directories of files would take minutes on some disks.
            fs::hard_link(&one, images.join(format!("{number}")))
                .or_else(|_| fs::write(images.join(format!("{number}")), ""))
                .expect("a name");
        }
        let error = project.refused();
        assert!(error.message.contains("100002 files") && error.message.contains("20000"), "{error}");
        assert!(error.message.contains("images (100001 files)"), "{error}");
        assert!(error.hint.is_some_and(|hint| hint.contains(".dspexignore")));
    }

    #[test]
    fn what_the_program_needs_and_is_left_out_is_named() {
        let project = Project::of(&[("secret.key", ""), ("qa.py", ""), (".gitignore", "qa.py\n")]);
        let error = project.pack_with(|wanted| wanted.needed = NEEDED).expect_err("refused");
        assert!(
            error.message.contains("qa.py") && error.hint.is_some_and(|hint| hint.contains("!qa.py")),
            "{}",
            error.message
        );
        fs::write(project.0.path().join(".dspexignore"), "!qa.py\n").expect("written");
        assert!(project.pack_with(|wanted| wanted.needed = NEEDED).is_ok());
    }

    const NEEDED: &[&str] = &["qa.py"];

    #[test]
    fn a_file_from_elsewhere_comes_along_and_is_searched_too() {
        let (project, elsewhere) =
            (Project::of(&[("qa.py", "")]), Project::of(&[("s.json", "{\"key\": \"sk-0123456789\"}")]));
        let added = [(".dspex/s.json".to_owned(), elsewhere.0.path().join("s.json"))];
        let error = project.pack_with(|wanted| wanted.added = &added).expect_err("refused");
        assert!(error.message.starts_with(".dspex/s.json, line 1,"), "{error}");
        fs::write(elsewhere.0.path().join("s.json"), "{}").expect("written");
        let packed = project.pack_with(|wanted| wanted.added = &added).expect("packed");
        assert_eq!(packed.files, 2);
    }
}
