//! Every example has one result that counts: none is lost, none is counted twice.

use std::collections::BTreeMap;

use crate::evaluation::Account;
use crate::finding::Finding;

/// Named one by one, so many.
const NAMED_MAX: usize = 20;

/// Looks at the results of a run that has finished.
pub fn check(account: &Account) -> Finding {
    let Account { examples, counted: (done, _), duplicates, results, .. } = account;
    let mut times: BTreeMap<u32, usize> = (0..*examples).map(|index| (index, 0)).collect();
    results.iter().for_each(|index| *times.entry(*index).or_default() += 1);
    let mut broken: Vec<String> = times
        .iter()
        .filter(|(index, times)| **index >= *examples || **times != 1)
        .map(|(index, times)| format!("example {index} of {examples} has {times} results"))
        .collect();
    broken.truncate(NAMED_MAX);
    if done != examples {
        broken.push(format!("{done} of {examples} examples are counted"));
    }
    Finding::new("results count once", format!("{} results, {duplicates} duplicates besides", results.len()), broken)
}
