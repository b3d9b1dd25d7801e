//! Records in memory, as those of a simulated disk are.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::reading::{ColdRecords, Order, Visit};
use crate::codec::CodecError;

impl ColdRecords for BTreeMap<Vec<u8>, Vec<u8>> {
    type Error = CodecError;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, CodecError> {
        Ok(Self::get(self, key).cloned())
    }

    fn scan(&self, from: &[u8], to: &[u8], order: Order, visit: &mut Visit<'_>) -> Result<(), CodecError> {
        if from >= to {
            return Ok(());
        }
        let mut records = self.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        let next = || match order {
            Order::FirstFirst => records.next(),
            Order::LastFirst => records.next_back(),
        };
        let _ = std::iter::from_fn(next).try_for_each(|(key, value)| visit(key, value));
        Ok(())
    }
}
