//! What is made of files, made again when they have changed: certificates are renewed without a restart.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::CertificateError;

/// Tells one state of a file from another. A replaced file has another number, one that was written to or made readable
/// another time of change, and one that was half written another length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    number: u64,
    length: u64,
    changed: (i64, i64),
}

/// Something made of files.
pub(crate) struct Reloaded<T> {
    files: Vec<PathBuf>,
    load: Box<dyn Fn() -> Result<T, CertificateError> + Send + Sync>,
    loaded: Mutex<Loaded<T>>,
}

struct Loaded<T> {
    /// The files before they were read.
    seen: Vec<Option<Seen>>,
    value: T,
    /// Why newer files cannot be used, as it was logged: once for each reason, however many connections come meanwhile.
    told: Option<String>,
}

impl<T> std::fmt::Debug for Reloaded<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloaded").field("files", &self.files).finish_non_exhaustive()
    }
}

impl<T: Clone> Reloaded<T> {
    /// Fails where the files cannot be used: at the start, not at the first connection.
    pub(crate) fn new(
        files: Vec<PathBuf>,
        load: impl Fn() -> Result<T, CertificateError> + Send + Sync + 'static,
    ) -> Result<Self, CertificateError> {
        let seen = look(&files);
        let value = load()?;
        Ok(Self { files, load: Box::new(load), loaded: Mutex::new(Loaded { seen, value, told: None }) })
    }

    /// What the files say now; while they cannot be used, what they said before. A renewal may be half written, and the old
    /// certificates are good until they expire.
    pub(crate) fn current(&self) -> T {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = look(&self.files);
        if seen == loaded.seen {
            return loaded.value.clone();
        }
        match (self.load)() {
            Ok(value) => {
                tracing::info!(files = ?self.files, "the certificates have changed and were read again");
                *loaded = Loaded { seen, value, told: None };
            }
            Err(error) => {
                let why = error.to_string();
                if loaded.told.as_ref() != Some(&why) {
                    tracing::warn!(%error, "the certificates have changed and cannot be used; the earlier ones stay");
                    loaded.told = Some(why);
                }
            }
        }
        loaded.value.clone()
    }
}

fn look(files: &[PathBuf]) -> Vec<Option<Seen>> {
    files.iter().map(|file| seen(file)).collect()
}

fn seen(file: &Path) -> Option<Seen> {
    let found = fs::metadata(file).ok()?;
    Some(Seen { number: found.ino(), length: found.len(), changed: (found.ctime(), found.ctime_nsec()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_again_when_they_have_changed_and_what_cannot_be_used_changes_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("number");
        fs::write(&file, "1").expect("written");
        let path = file.clone();
        let load = move || {
            let text =
                fs::read_to_string(&path).map_err(|source| CertificateError::File { path: path.clone(), source })?;
            let number = text.parse::<u32>();
            number.map_err(|error| CertificateError::Content { path: path.clone(), detail: error.to_string() })
        };
        let reloaded = Reloaded::new(vec![file.clone()], load.clone()).expect("a number");
        assert_eq!(reloaded.current(), 1);
        fs::write(&file, "22").expect("written");
        assert_eq!(reloaded.current(), 22);
        fs::write(&file, "no number").expect("written");
        assert_eq!(reloaded.current(), 22);
        fs::remove_file(&file).expect("removed");
        assert_eq!(reloaded.current(), 22);
        assert!(Reloaded::new(vec![file.clone()], load).is_err(), "at the start there is nothing to stay with");
        let beside = directory.path().join("new");
        fs::write(&beside, "33").expect("written");
        fs::rename(&beside, &file).expect("renamed");
        assert_eq!(reloaded.current(), 33);
    }
}
