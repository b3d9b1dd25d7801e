//! While somebody reads all that a state refers to, nothing is freed: whatever happens to the state meanwhile.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use crate::blob_store::{BlobStore, Shared};

/// No blob of the store is freed while it lives. What was to be freed meanwhile stays until somebody frees again.
pub struct BlobHold {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for BlobHold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobHold").finish_non_exhaustive()
    }
}

impl BlobStore {
    /// Waits for the end of a freeing that is under way, and lets none begin while the hold lives.
    pub fn hold(&self) -> BlobHold {
        let shared = Arc::clone(&self.shared);
        let _sets = self.shared.sets.lock().unwrap_or_else(PoisonError::into_inner);
        shared.holds.fetch_add(1, Ordering::SeqCst);
        BlobHold { shared }
    }
}

impl Drop for BlobHold {
    fn drop(&mut self) {
        self.shared.holds.fetch_sub(1, Ordering::SeqCst);
    }
}
