//! How often each example was executed: programs of these suites write a line for each execution.

use std::collections::{BTreeMap, BTreeSet};

/// Executions by example.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Executions(BTreeMap<u32, u32>);

impl Executions {
    /// From a file with the number of an example on each line.
    pub(crate) fn parse(text: &str) -> Self {
        let mut counts = BTreeMap::new();
        for number in text.lines().filter_map(|line| line.trim().parse().ok()) {
            *counts.entry(number).or_default() += 1;
        }
        Self(counts)
    }

    /// How many there were in all.
    pub fn total(&self) -> u32 {
        self.0.values().sum()
    }

    /// How often this example was executed.
    pub fn of(&self, example: u32) -> u32 {
        self.0.get(&example).copied().unwrap_or(0)
    }

    /// The examples that were executed.
    pub fn examples(&self) -> BTreeSet<u32> {
        self.0.keys().copied().collect()
    }

    /// Those that came after an earlier count.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let later = self.0.iter().map(|(&example, &count)| (example, count - earlier.of(example)));
        Self(later.filter(|(_, count)| *count > 0).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executions_are_counted_and_compared() {
        let first = Executions::parse("1\n2\n");
        let second = Executions::parse("1\n2\n2\n3\n");
        assert_eq!((second.total(), second.of(2), second.of(7)), (4, 2, 0));
        assert_eq!(second.since(&first).examples(), BTreeSet::from([2, 3]));
    }
}
