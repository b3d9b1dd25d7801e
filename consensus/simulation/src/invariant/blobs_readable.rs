//! A blob that the log names is readable as long as a quorum of the voters lives: whichever majority of them is left, one of
//! these has the blob synced on its disk. Nodes that are down count, because they come back with their disks.
//!
//! In other words: those voters that do not hold it are no majority. While a change of the voters is under way, which needs a
//! majority of both sets, that holds for one of the sets. It holds from the entry on that names the blob first until no run
//! names it any more, and is looked at with every entry that names a blob or changes the voters, and whenever a node loses a
//! blob. Bytes are compared at the end, at every member (`healing`): a simulated disk does not forge them.

use std::collections::{BTreeMap, BTreeSet};

use dspex_model::Digest;

use super::Invariant;
use crate::committed::Committed;
use crate::observer::Seen;

#[derive(Default)]
pub(crate) struct BlobsReadable {
    /// Who has what, synced.
    holders: BTreeMap<Digest, BTreeSet<u64>>,
    /// The sets of voters whose majorities decide.
    voters: Vec<BTreeSet<u64>>,
}

impl Invariant for BlobsReadable {
    fn name(&self) -> &'static str {
        "blobs_readable"
    }

    fn see(&mut self, seen: &Seen<'_>, committed: &Committed) -> Result<(), String> {
        match *seen {
            Seen::BlobHeld { node, digest, synced: true } => {
                self.holders.entry(digest).or_default().insert(node);
                Ok(())
            }
            Seen::BlobGone { node, digest } => {
                self.holders.entry(digest).or_default().remove(&node);
                let named = committed.named().get(&digest).copied();
                named.map_or(Ok(()), |index| self.readable(&digest, index))
            }
            Seen::Committed { index } => {
                let Some(entry) = committed.at(index) else { return Ok(()) };
                if let Some(voters) = &entry.voters {
                    self.voters.clone_from(voters);
                }
                let looks = entry.voters.is_some() || entry.names_blobs;
                let mut named = committed.named().iter().filter(|_| looks);
                named.try_for_each(|(digest, index)| self.readable(digest, *index))
            }
            _ => Ok(()),
        }
    }
}

impl BlobsReadable {
    fn readable(&self, digest: &Digest, named_at: u64) -> Result<(), String> {
        let holds = |voter: &u64| self.holders.get(digest).is_some_and(|holders| holders.contains(voter));
        let lacking = |voters: &BTreeSet<u64>| voters.iter().filter(|voter| !holds(voter)).count();
        let always = |voters: &BTreeSet<u64>| lacking(voters) < voters.len() / 2 + 1;
        if self.voters.is_empty() || self.voters.iter().any(always) {
            return Ok(());
        }
        let (holders, voters) = (self.holders.get(digest), &self.voters);
        Err(format!("blob {digest}, named by entry {named_at}, is held by {holders:?}, and {voters:?} vote"))
    }
}
