//! A run that was sent to a cluster finishes by itself, whatever broke.

use crate::evaluation::Account;
use crate::finding::Finding;

/// Looks at where it stands.
pub fn check(account: &Account) -> Finding {
    let Account { run, examples, status, reason, counted: (done, _), disturbances, .. } = account;
    let mut broken = Vec::new();
    if status != "finished" {
        broken.push(format!("{run} is {status} with {done} of {examples} examples long after the faults: {reason:?}"));
    }
    Finding::new("runs finish", format!("{examples} examples, {} faults meanwhile", disturbances.len()), broken)
}
