//! The highest version among operations that began after a given moment.

use std::collections::BTreeMap;

use crate::Operation;

/// Invocation -> version and operation. Kept as stairs: whoever began later than another is kept only with a lower version, so
/// that the first one after a moment is the highest.
#[derive(Default)]
pub(super) struct Highest<'a>(BTreeMap<u64, (u64, &'a Operation)>);

impl<'a> Highest<'a> {
    pub(super) fn add(&mut self, invoked_ns: u64, known: (u64, &'a Operation)) {
        if self.0.range(invoked_ns..).next().is_some_and(|(_, (version, _))| *version >= known.0) {
            return;
        }
        while let Some((&below, _)) =
            self.0.range(..=invoked_ns).next_back().filter(|(_, (version, _))| *version <= known.0)
        {
            self.0.remove(&below);
        }
        self.0.insert(invoked_ns, known);
    }

    pub(super) fn overall(&self) -> Option<(u64, &'a Operation)> {
        self.0.first_key_value().map(|(_, known)| *known)
    }

    pub(super) fn begun_after(&self, moment_ns: u64) -> Option<(u64, &'a Operation)> {
        self.0.range(moment_ns.checked_add(1)?..).next().map(|(_, known)| *known)
    }
}
