//! The node's own token, which opens everything on it, with or without a quorum. It is read again when its file has changed:
//! an operator rotates it without a restart.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use dspex_model::Digest;
use tracing::{info, warn};

/// An old token is good for so long after its file has changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is done with a new one.
type Changed = Box<dyn Fn(&str) + Send + Sync>;

/// A token in a file.
pub(crate) struct OwnToken {
    file: PathBuf,
    changed: Changed,
    known: Mutex<Known>,
}

struct Known {
    /// Of the token. The token itself is not kept.
    digest: Digest,
    /// The file's number, length and time of change.
    seen: Option<(u64, u64, i64, i64)>,
    looked: Instant,
}

impl OwnToken {
    /// The file holds this token now; `changed` hears of each later one.
    pub(crate) fn new(file: PathBuf, token: &str, changed: Changed) -> Self {
        let known = Known { digest: Digest::of(token.as_bytes()), seen: seen(&file), looked: Instant::now() };
        Self { file, changed, known: Mutex::new(known) }
    }

    /// Whether this is the digest of the token that the file holds.
    pub(super) fn is(&self, digest: &Digest) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.looked.elapsed() >= LOOK_EVERY {
            known.looked = Instant::now();
            self.look(&mut known);
        }
        known.digest == *digest
    }

    /// A file that is gone or empty changes nothing: it may be about to be replaced.
    fn look(&self, known: &mut Known) {
        let seen = seen(&self.file);
        if seen.is_none() || seen == known.seen {
            return;
        }
        match fs::read_to_string(&self.file) {
            Ok(text) if !text.trim().is_empty() => {
                known.seen = seen;
                let digest = Digest::of(text.trim().as_bytes());
                if digest != known.digest {
                    known.digest = digest;
                    info!("the node's own token has changed");
                    (self.changed)(text.trim());
                }
            }
            Ok(_) => {}
            Err(error) => warn!(%error, file = %self.file.display(), "the node's own token cannot be read again"),
        }
    }
}

fn seen(file: &Path) -> Option<(u64, u64, i64, i64)> {
    let found = fs::metadata(file).ok()?;
    Some((found.ino(), found.len(), found.ctime(), found.ctime_nsec()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_token_is_good_until_its_file_holds_another() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("token");
        fs::write(&file, "first\n").expect("written");
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let hears = Arc::clone(&heard);
        let changed = Box::new(move |token: &str| hears.lock().expect("a list").push(token.to_owned()));
        let own = OwnToken::new(file.clone(), "first", changed);
        let opens = |token: &str| {
            std::thread::sleep(LOOK_EVERY + Duration::from_millis(10));
            own.is(&Digest::of(token.as_bytes()))
        };
        assert!(opens("first") && !opens("second"));
        fs::remove_file(&file).expect("removed");
        assert!(opens("first"));
        fs::write(&file, "").expect("written");
        assert!(opens("first"));
        fs::write(&file, "second\n").expect("written");
        assert!(opens("second") && !opens("first"));
        assert_eq!(*heard.lock().expect("a list"), ["second"]);
    }
}
