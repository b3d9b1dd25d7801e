//! What is known of a run in the end: what the promises of runs are judged by, and what is kept of a run that broke one.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A run and what happened to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    pub run: String,
    /// How many examples it has.
    pub examples: u32,
    /// How many of them are executed at once, over all nodes.
    pub threads: u32,
    /// Where it stood when it had ended, or when nobody waited any longer.
    pub status: String,
    /// Why.
    pub reason: String,
    /// Examples that were counted, and those of them that failed.
    pub counted: (u32, u32),
    /// Results that came after the first one of their example.
    pub duplicates: u32,
    /// What it came to; none where it has not finished.
    pub gist: Option<Gist>,
    /// What it comes to where nothing breaks, on one node.
    pub undisturbed: Gist,
    /// The examples of its results, as they were given.
    pub results: Vec<u32>,
    /// Every execution that was begun, in the order of their beginnings.
    pub executions: Vec<Execution>,
    /// Every fault that landed while it was under way, in their order.
    pub disturbances: Vec<Disturbance>,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gist {
    /// Its score.
    pub score: Option<f64>,
    /// Its digest.
    pub digest: String,
    /// How many examples failed.
    pub failed: u32,
}

/// A worker began an example.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Execution {
    /// Nanoseconds of Unix time.
    pub at_ns: u64,
    /// Which example.
    pub index: u32,
    /// In which process.
    pub process: u32,
}

/// A fault, and how far the run was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disturbance {
    /// What broke.
    pub fault: String,
    /// Nanoseconds of Unix time.
    pub began_ns: u64,
    /// When it was put back.
    pub ended_ns: u64,
    /// Examples that had a result before it began.
    pub recorded: BTreeSet<u32>,
}

impl Execution {
    /// From a file with a line for each: index, nanoseconds, process. What is cut off was not begun.
    pub(super) fn parse(text: &str) -> Vec<Self> {
        let line = |line: &str| {
            let mut words = line.split(' ');
            let (index, at_ns, process) = (words.next()?, words.next()?, words.next()?);
            Some(Self { at_ns: at_ns.parse().ok()?, index: index.parse().ok()?, process: process.parse().ok()? })
        };
        let mut executions: Vec<Self> = text
            .split_inclusive('\n')
            .filter(|whole| whole.ends_with('\n'))
            .filter_map(|whole| line(whole.trim_end()))
            .collect();
        executions.sort();
        executions
    }
}

impl Account {
    /// Keeps it as JSON.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, path: &Path) -> std::io::Result<()> {
        std::fs::write(path, serde_json::to_vec_pretty(self)?)
    }

    /// Keeps it as one line of JSON behind those that are there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add_line(&self, to: &mut impl Write) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        to.write_all(&line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executions_are_read_in_their_order_and_a_line_that_was_cut_off_is_none() {
        let read = Execution::parse("3 200 9\n1 100 8\nno line\n2 300");
        let expected = [(100, 1, 8), (200, 3, 9)];
        assert_eq!(read, expected.map(|(at_ns, index, process)| Execution { at_ns, index, process }));
    }

    #[test]
    fn the_accounts_of_all_rounds_are_kept_a_line_for_each() {
        let account = |run: &str| Account {
            run: run.to_owned(),
            examples: 2,
            threads: 1,
            status: "finished".to_owned(),
            reason: "of\nmany lines".to_owned(),
            counted: (2, 0),
            duplicates: 1,
            gist: None,
            undisturbed: Gist { score: Some(50.0), digest: "d".to_owned(), failed: 0 },
            results: vec![0, 1],
            executions: vec![Execution { at_ns: 1, index: 0, process: 7 }],
            disturbances: Vec::new(),
        };
        let rounds = [account("first"), account("second")];
        let mut kept = Vec::new();
        for round in &rounds {
            round.add_line(&mut kept).expect("written");
        }
        let text = String::from_utf8(kept).expect("UTF-8");
        let read: Vec<Account> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(read, rounds);
    }
}
