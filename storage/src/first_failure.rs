//! What a database does after a write or a sync failed: nothing more. What the disk holds is unknown from then on, and a
//! second try could succeed without what was lost.

use std::io;
use std::sync::OnceLock;

/// The first failure; everything after it fails with its words.
#[derive(Debug, Default)]
pub(crate) struct FirstFailure(OnceLock<(io::ErrorKind, String)>);

impl FirstFailure {
    /// Notes a failure, unless it is not the first.
    pub(crate) fn note(&self, error: &io::Error) {
        let _ = self.0.set((error.kind(), error.to_string()));
    }

    /// The first failure's words.
    pub(crate) fn text(&self) -> Option<&str> {
        self.0.get().map(|(_, text)| text.as_str())
    }

    /// Fails once there was a failure.
    pub(crate) fn check(&self) -> io::Result<()> {
        self.0
            .get()
            .map_or(Ok(()), |(kind, text)| Err(io::Error::new(*kind, format!("an earlier write failed: {text}"))))
    }
}
