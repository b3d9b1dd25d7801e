//! The state as it is at one moment, for those who look for a few of its pairs.

use std::io;
use std::ops::ControlFlow;

use dspex_model::Order;
use rocksdb::ReadOptions;

use crate::error::from_rocksdb;
use crate::state_store::{StateStore, data_key};

/// The pairs of a state at one moment: what is written or installed meanwhile is not in it.
pub struct StateView<'a> {
    pairs: rocksdb::Snapshot<'a>,
}

impl std::fmt::Debug for StateView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateView").finish_non_exhaustive()
    }
}

impl StateStore {
    /// Looks at the state as it is now. It may take as long as it takes: nothing waits for it.
    pub fn view<R>(&self, look: impl FnOnce(&StateView<'_>) -> R) -> R {
        let db = self.db();
        look(&StateView { pairs: db.snapshot() })
    }
}

impl StateView<'_> {
    /// The value of a key.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.pairs.get(data_key(key)).map_err(from_rocksdb)
    }

    /// Shows the pairs from one key up to another, until `visit` has seen enough.
    ///
    /// # Errors
    /// When a pair cannot be read.
    pub fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        order: Order,
        mut visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let mut pairs = self.pairs.raw_iterator_opt(between(from, to));
        match order {
            Order::FirstFirst => pairs.seek_to_first(),
            Order::LastFirst => pairs.seek_to_last(),
        }
        while let Some((key, value)) = pairs.item() {
            if visit(&key[1..], value).is_break() {
                return Ok(());
            }
            match order {
                Order::FirstFirst => pairs.next(),
                Order::LastFirst => pairs.prev(),
            }
        }
        pairs.status().map_err(from_rocksdb)
    }
}

/// Both keys bound the reading: what was removed beside them is not walked through.
fn between(from: &[u8], to: &[u8]) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(data_key(from));
    // An empty range must not be taken for one without an end.
    options.set_iterate_upper_bound(data_key(to.max(from)));
    options
}
