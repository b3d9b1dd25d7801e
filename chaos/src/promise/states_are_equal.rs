//! At an equal index of the log all nodes have the same state, to the last byte.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::finding::Finding;
use crate::target::Target;

const PROMISE: &str = "states are equal";
/// Nodes that were away catch up within it.
const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);

/// Asks all nodes for digests of their states until all have named the same index.
pub fn check(target: &Target) -> Finding {
    let begun = Instant::now();
    let (mut asked, mut refusal) = (Digests::default(), String::new());
    loop {
        for (node, door) in target.doors().iter().enumerate() {
            match target.ask(node, async |client| client.state_hash().await) {
                Ok(answer) => asked.add(answer.applied_index, &door.name, answer.hash),
                Err(error) => refusal = format!("; {} said last: {error}", door.name),
            }
        }
        let broken = asked.differing();
        if !broken.is_empty() {
            return Finding::new(PROMISE, asked.looked_at(), broken);
        }
        if let Some(index) = asked.index_of_all(target.doors().len()) {
            return Finding::new(PROMISE, format!("{} nodes at index {index}", target.doors().len()), broken);
        }
        if begun.elapsed() > LIMIT {
            let broken = format!("within {} s the nodes did not come to the same index{refusal}", LIMIT.as_secs());
            return Finding::new(PROMISE, asked.looked_at(), vec![broken]);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Digests by index and node.
#[derive(Debug, Default)]
struct Digests(BTreeMap<u64, BTreeMap<String, String>>);

impl Digests {
    fn add(&mut self, index: u64, node: &str, digest: String) {
        self.0.entry(index).or_default().insert(node.to_owned(), digest);
    }

    fn differing(&self) -> Vec<String> {
        let differs = |digests: &BTreeMap<String, String>| {
            let first = digests.values().next();
            digests.values().any(|digest| Some(digest) != first)
        };
        let different = self.0.iter().filter(|(_, digests)| differs(digests));
        different.map(|(index, digests)| format!("states differ at index {index}: {digests:?}")).collect()
    }

    fn index_of_all(&self, nodes: usize) -> Option<u64> {
        self.0.iter().rev().find(|(_, digests)| digests.len() == nodes).map(|(index, _)| *index)
    }

    fn looked_at(&self) -> String {
        match self.0.last_key_value() {
            Some((index, digests)) => format!("{} nodes at the highest index seen, {index}", digests.len()),
            None => "no node answered".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_indexes_with_other_digests_are_seen_and_other_indexes_say_nothing() {
        let mut asked = Digests::default();
        asked.add(7, "node-1", "a".to_owned());
        asked.add(8, "node-2", "b".to_owned());
        assert!(asked.differing().is_empty() && asked.index_of_all(2).is_none());
        asked.add(8, "node-1", "b".to_owned());
        assert_eq!(asked.index_of_all(2), Some(8));
        asked.add(7, "node-2", "c".to_owned());
        assert_eq!(asked.differing().len(), 1);
        assert!(asked.differing()[0].contains("index 7"));
    }
}
