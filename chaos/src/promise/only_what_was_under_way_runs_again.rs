//! What had a result before a fault is not executed again for it, where nothing breaks nothing is executed twice, and no more is executed
//! again than can have been under way.

use std::collections::{BTreeMap, BTreeSet};

use crate::evaluation::{Account, Disturbance, Execution};
use crate::finding::Finding;

/// A node that is gone is missed after 3 s, an owner is replaced after 3 s more and an election; the rest is for a machine that does
/// other things as well. What begins later than that after a fault was not under way at it.
const RECOVERY_NS: u64 = 15_000_000_000;
/// A node that stood still gives out anew what it had given out, when it wakes up and has missed that another one has done so.
const TIMES_PER_FAULT: usize = 2;
/// Until the last node knows that what was cut off is back, and who owns the run.
const CLARITY_NS: u64 = 3_000_000_000;
/// Results that gather at a node before they are proposed.
const BATCH: usize = 64;
/// Named one by one, so many.
const NAMED_MAX: usize = 20;

/// Looks for executions that no fault explains.
pub fn check(account: &Account) -> Finding {
    let by_example = by_example(account);
    let (again, most) = (again(account), most_again(account));
    let mut broken: Vec<String> = by_example.values().filter_map(|of| unexplained(of, &account.disturbances)).collect();
    let unseen = (0..account.examples).filter(|index| !by_example.contains_key(index)).count();
    if unseen > 0 && account.status == "finished" {
        broken.push(format!("{unseen} examples have results, and nobody saw them executed: the count is wrong"));
    }
    broken.truncate(NAMED_MAX);
    if again > most {
        broken.push(format!("{again} executions were begun again, and no more than {most} can have been under way"));
    }
    let looked_at = format!(
        "{} executions of {} examples, {again} of them again (at most {most}), {} faults",
        account.executions.len(),
        account.examples,
        account.disturbances.len()
    );
    Finding::new("only what was under way runs again", looked_at, broken)
}

/// The executions of each example, in the order of their beginnings.
fn by_example(account: &Account) -> BTreeMap<u32, Vec<&Execution>> {
    let mut by_example: BTreeMap<u32, Vec<&Execution>> = BTreeMap::new();
    account.executions.iter().for_each(|one| by_example.entry(one.index).or_default().push(one));
    by_example
}

/// How many executions were not the first of their example.
pub(crate) fn again(account: &Account) -> usize {
    by_example(account).values().map(|executions| executions.len() - 1).sum()
}

/// How many that can be, by what was under way when something broke, over all examples.
pub(crate) fn most_again(account: &Account) -> usize {
    let by_example = by_example(account);
    let firsts: Vec<&Execution> = by_example.values().filter_map(|executions| executions.first().copied()).collect();
    let threads = usize::try_from(account.threads).unwrap_or(usize::MAX);
    let at_one = |fault: &Disturbance| {
        // Begun, and without a result when it broke.
        let found = firsts.iter().filter(|one| one.at_ns <= fault.began_ns && !fault.recorded.contains(&one.index));
        let lasting = fault.began_ns..=fault.ended_ns + CLARITY_NS;
        // What goes on without reaching the log, or under two owners.
        let unheard = firsts.iter().filter(|one| !is_sudden(fault) && lasting.contains(&one.at_ns));
        let examples: BTreeSet<u32> = found.chain(unheard).map(|one| one.index).collect();
        // Beside it, what each thread has and has been given ahead, when somebody notices.
        TIMES_PER_FAULT * (examples.len() + 2 * threads + BATCH)
    };
    account.disturbances.iter().map(at_one).sum()
}

/// One process or some workers are gone at once, and where the others have their majority nobody goes on who cannot reach the log. Of an
/// only voter they have none for as long as it takes to come back: what its worker nodes go on with is within the slack.
fn is_sudden(fault: &Disturbance) -> bool {
    let mut words = fault.fault.split(' ');
    match (words.next(), words.count()) {
        (Some("kill"), nodes) => nodes == 1,
        (kind, _) => kind == Some("kill-workers"),
    }
}

/// How often each example may be executed again beyond what it was, as far as only its own executions are looked at: for the control.
pub(crate) fn room(account: &Account) -> Vec<(u32, usize)> {
    let room = |(index, executions): (u32, Vec<&Execution>)| {
        let explaining = executions.first().map_or(0, |first| explaining(first, &account.disturbances).len());
        (index, (TIMES_PER_FAULT * explaining).saturating_sub(executions.len() - 1))
    };
    by_example(account).into_iter().map(room).collect()
}

/// The faults that found an example under way, by its first execution.
fn explaining<'a>(first: &Execution, disturbances: &'a [Disturbance]) -> Vec<&'a Disturbance> {
    let was_under_way = |disturbance: &&Disturbance| {
        !disturbance.recorded.contains(&first.index) && first.at_ns <= disturbance.ended_ns + RECOVERY_NS
    };
    disturbances.iter().filter(was_under_way).collect()
}

/// What is wrong with the executions of an example, in the order of their beginnings.
fn unexplained(executions: &[&Execution], disturbances: &[Disturbance]) -> Option<String> {
    let (first, later) = executions.split_first()?;
    let explaining = explaining(first, disturbances);
    let index = first.index;
    if let Some(early) = later.iter().find(|one| !explaining.iter().any(|fault| fault.began_ns <= one.at_ns)) {
        let seconds = (early.at_ns - first.at_ns) as f64 / 1e9;
        return Some(format!(
            "example {index} was executed again after {seconds:.1} s, and no fault found it under way"
        ));
    }
    (later.len() > TIMES_PER_FAULT * explaining.len()).then(|| {
        let (times, faults) = (executions.len(), explaining.len());
        format!("example {index} was executed {times} times, and only {faults} faults found it under way")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn disturbance(began_s: u64, recorded: &[u32]) -> Disturbance {
        Disturbance {
            fault: "kill node-1".to_owned(),
            began_ns: began_s * SECOND,
            ended_ns: (began_s + 2) * SECOND,
            recorded: recorded.iter().copied().collect(),
        }
    }

    fn judge(executions_s: &[u64], disturbances: &[Disturbance]) -> Option<String> {
        let executions: Vec<Execution> =
            executions_s.iter().map(|at_s| Execution { at_ns: at_s * SECOND, index: 4, process: 1 }).collect();
        unexplained(&executions.iter().collect::<Vec<_>>(), disturbances)
    }

    #[test]
    fn an_execution_needs_a_fault_that_found_its_example_under_way() {
        assert_eq!(judge(&[10], &[]), None);
        assert!(judge(&[10, 11], &[]).is_some(), "nothing broke");
        let fault = [disturbance(12, &[])];
        assert_eq!(judge(&[11, 16], &fault), None);
        assert!(judge(&[9, 11], &fault).is_some(), "again before the fault");
        assert!(judge(&[11, 16], &[disturbance(12, &[4])]).is_some(), "it had a result");
        assert!(judge(&[30, 31], &fault).is_some(), "begun long after the fault");
    }

    #[test]
    fn one_process_that_is_gone_is_sudden_and_whatever_goes_on_unheard_is_not() {
        let is_sudden = |fault: &str| is_sudden(&Disturbance { fault: fault.to_owned(), ..disturbance(1, &[]) });
        assert!(is_sudden("kill node-2") && is_sudden("kill-workers node-1"));
        for lasting in ["kill node-1 node-2", "pause node-1", "partition node-1 | node-2 node-3", "isolate-leader"] {
            assert!(!is_sudden(lasting), "{lasting}");
        }
    }

    #[test]
    fn a_fault_explains_only_so_many() {
        let one = [disturbance(12, &[])];
        assert_eq!(judge(&[11, 15, 17], &one), None, "a node woke up");
        assert!(judge(&[11, 15, 16, 17], &one).is_some());
        let two = [disturbance(12, &[]), disturbance(16, &[])];
        assert_eq!(judge(&[11, 15, 18, 19], &two), None);
        let late = [disturbance(12, &[]), disturbance(16, &[4])];
        assert!(judge(&[11, 15, 18, 19], &late).is_some(), "the second one found a result");
    }
}
