//! The Python package `dspex` that this binary carries, unpacked where a zygote can import it.
//!
//! It is taken from here and not from the interpreter's site-packages, so that any interpreter with dspy serves, and both ends
//! of the protocol are always of one version.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

use crate::environment::hex;

#[derive(RustEmbed)]
#[folder = "python/dspex"]
#[exclude = "*__pycache__*"]
#[exclude = "*.pyc"]
#[exclude = "tests/*"]
struct Embedded;

/// The package on disk, for the `sys.path` of zygotes.
#[derive(Debug, Clone)]
pub struct Package {
    directory: PathBuf,
}

impl Package {
    /// Unpacks the package to `under/<version>-<content hash>/dspex`, unless it is there.
    pub fn unpack(under: &Path) -> io::Result<Self> {
        let directory = under.join(name());
        if missing_file(&directory).is_some() {
            replace(under, &directory)?;
        }
        Ok(Self { directory })
    }

    /// The folder that holds `dspex/`: goes first on `sys.path`.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Puts back what something (a cleaner of old files) has taken away since the package was unpacked.
    pub fn verify(&self) -> io::Result<()> {
        match self.directory.parent() {
            Some(under) if missing_file(&self.directory).is_some() => replace(under, &self.directory),
            _ => Ok(()),
        }
    }
}

/// `<version>-<the first 16 hex digits of a sha256 over names and contents>`.
fn name() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let mut hash = Sha256::new();
        for (path, content) in files() {
            for part in [path.as_bytes(), &content] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
        }
        format!("{}-{}", env!("CARGO_PKG_VERSION"), &hex(&hash.finalize())[..16])
    })
}

/// Every embedded file in the order of its path.
fn files() -> Vec<(String, Cow<'static, [u8]>)> {
    let mut files: Vec<_> =
        Embedded::iter().filter_map(|path| Embedded::get(&path).map(|file| (path.into_owned(), file.data))).collect();
    files.sort();
    files
}

/// A file that is not there or not of its length. Contents are not compared: the folder's name says what was written.
fn missing_file(directory: &Path) -> Option<PathBuf> {
    files().into_iter().find_map(|(path, content)| {
        let path = directory.join("dspex").join(path);
        let complete = fs::metadata(&path).is_ok_and(|found| found.len() == content.len() as u64);
        (!complete).then_some(path)
    })
}

/// Writes beside the target and renames, so that nobody ever sees half a package.
fn replace(under: &Path, directory: &Path) -> io::Result<()> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let beside = |purpose: &str| under.join(format!(".{purpose}-{}-{number}", std::process::id()));
    let (fresh, old) = (beside("new"), beside("old"));
    let written = write(&fresh).and_then(|()| {
        if directory.exists() {
            fs::rename(directory, &old)?;
        }
        match fs::rename(&fresh, directory) {
            // Another thread or process was faster.
            Err(_) if missing_file(directory).is_none() => Ok(()),
            other => other,
        }
    });
    for leftover in [&fresh, &old] {
        // Best effort: a leftover costs only space.
        let _ = fs::remove_dir_all(leftover);
    }
    written
}

fn write(directory: &Path) -> io::Result<()> {
    for (path, content) in files() {
        let path = directory.join("dspex").join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, content)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpacks_once_and_mends_what_was_lost() {
        let under = tempfile::tempdir().expect("temporary directory");
        let package = Package::unpack(under.path()).expect("unpacked");
        let entry = package.directory().join("dspex/runtime/zygote.py");
        let written = fs::metadata(&entry).and_then(|found| found.modified()).expect("the zygote's module");

        let again = Package::unpack(under.path()).expect("unpacked");
        assert_eq!(again.directory(), package.directory());
        assert_eq!(fs::metadata(&entry).and_then(|found| found.modified()).expect("still there"), written);

        fs::write(&entry, "half").expect("damaged");
        package.verify().expect("mended");
        assert_ne!(fs::read_to_string(&entry).expect("readable"), "half");
        assert_eq!(fs::read_dir(under.path()).expect("readable").count(), 1, "leftovers");
    }

    #[test]
    fn carries_no_tests_and_no_bytecode() {
        let paths: Vec<String> = files().into_iter().map(|(path, _)| path).collect();
        assert!(paths.iter().any(|path| path == "runtime/zygote.py"), "{paths:?}");
        assert!(!paths.iter().any(|path| path.contains("__pycache__") || path.starts_with("tests/")), "{paths:?}");
    }
}
