//! Faults planted in the account of a run that came to what it should: what a cluster without one of its protections would have left.

use super::Chance;
use crate::evaluation::{Account, Execution};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Miscount {
    /// The run stands still before its end.
    NeverEnds,
    /// A result of an earlier generation counted: the digest is another one.
    OldGeneration,
    /// An example has no result.
    Lost,
    /// The second result of an example counted beside the first.
    CountedTwice,
    /// An example was executed again though it had a result before the last fault, or though nothing broke.
    ExecutedAgain,
    /// A fault has everything executed again.
    StartedAnew,
}

impl Miscount {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::NeverEnds, Self::OldGeneration, Self::Lost, Self::CountedTwice, Self::ExecutedAgain, Self::StartedAnew];

    /// The promise that it breaks.
    pub fn breaks(self) -> &'static str {
        match self {
            Self::NeverEnds => "runs finish",
            Self::OldGeneration => "results are those of one node",
            Self::Lost | Self::CountedTwice => "results count once",
            Self::ExecutedAgain | Self::StartedAnew => "only what was under way runs again",
        }
    }

    /// Plants one by chance; `None` where the account has no place for it.
    pub fn plant(self, account: &Account, chance: &mut Chance) -> Option<Account> {
        let mut wrong = account.clone();
        match self {
            Self::NeverEnds => {
                wrong.status = "running".to_owned();
                wrong.counted.0 = wrong.counted.0.checked_sub(1)?;
            }
            Self::OldGeneration => {
                let digest = &mut wrong.gist.as_mut()?.digest;
                *digest = digest.chars().rev().collect();
            }
            Self::Lost => {
                let place = usize::try_from(chance.below(wrong.results.len() as u64)).ok()?;
                (place < wrong.results.len()).then(|| wrong.results.remove(place))?;
            }
            Self::CountedTwice => {
                let index = chance.pick(&wrong.results)?;
                wrong.results.push(index);
            }
            Self::ExecutedAgain => {
                let (index, at_ns) = settled(account, chance)?;
                wrong.executions.push(Execution { at_ns, index, process: 1 });
            }
            Self::StartedAnew => {
                let last = account.disturbances.iter().rev().find(|one| one.recorded.len() > 1)?;
                let anew = |&index: &u32| Execution { at_ns: last.ended_ns, index, process: 1 };
                wrong.executions.extend(last.recorded.iter().map(anew));
            }
        }
        wrong.executions.sort();
        Some(wrong)
    }
}

/// An example that had a result before any fault, or whose only execution met none, and a time after its last execution.
fn settled(account: &Account, chance: &mut Chance) -> Option<(u32, u64)> {
    let last_ns = |index: u32| account.executions.iter().filter(|one| one.index == index).map(|one| one.at_ns).max();
    let settled: Vec<u32> = match account.disturbances.first() {
        Some(first) => first.recorded.iter().copied().collect(),
        None => (0..account.examples).collect(),
    };
    let index = chance.pick(&settled)?;
    Some((index, last_ns(index)? + 1))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::evaluation::{Disturbance, Gist};
    use crate::promise::of_account;

    const SECOND: u64 = 1_000_000_000;

    /// 40 examples, one a second, a fault after 20 of them that finds two under way, and both of those again.
    fn right() -> Account {
        let gist = Gist { score: Some(12.5), digest: "abcdef".to_owned(), failed: 1 };
        let execution = |index: u32, at_s: u64| Execution { at_ns: at_s * SECOND, index, process: 7 };
        let mut executions: Vec<Execution> = (0..40).map(|index| execution(index, 100 + u64::from(index))).collect();
        executions.extend([execution(18, 123), execution(19, 123)]);
        executions.sort();
        let recorded: BTreeSet<u32> = (0..18).collect();
        let fault = "kill node-1".to_owned();
        let disturbance = Disturbance { fault, began_ns: 120 * SECOND, ended_ns: 121 * SECOND, recorded };
        Account {
            run: "r".to_owned(),
            examples: 40,
            status: "finished".to_owned(),
            reason: String::new(),
            counted: (40, 1),
            duplicates: 1,
            gist: Some(gist.clone()),
            undisturbed: gist,
            results: (0..40).collect(),
            executions,
            disturbances: vec![disturbance],
        }
    }

    #[test]
    fn an_account_of_a_run_that_bore_its_faults_keeps_every_promise() {
        for finding in of_account(&right()) {
            assert!(finding.is_kept(), "{finding}");
        }
    }

    #[test]
    fn every_miscount_breaks_its_promise() {
        for seed in 0..50 {
            for miscount in Miscount::ALL {
                let wrong = miscount.plant(&right(), &mut Chance::new(seed)).expect("there is a place for each");
                let broken: Vec<&str> = of_account(&wrong)
                    .iter()
                    .filter(|finding| !finding.is_kept())
                    .map(|finding| finding.promise)
                    .collect();
                assert!(broken.contains(&miscount.breaks()), "{miscount:?} (seed {seed}) broke {broken:?}");
            }
        }
    }

    #[test]
    fn a_digest_a_score_or_a_failure_that_differs_is_seen() {
        let judge = |change: fn(&mut Gist)| {
            let mut account = right();
            change(account.gist.as_mut().expect("it finished"));
            of_account(&account).iter().all(crate::Finding::is_kept)
        };
        assert!(judge(|_| ()));
        assert!(!judge(|gist| gist.score = Some(12.6)) && !judge(|gist| gist.score = None));
        assert!(!judge(|gist| gist.failed = 2) && !judge(|gist| gist.digest = "other".to_owned()));
        assert!(!of_account(&Account { gist: None, ..right() }).iter().all(crate::Finding::is_kept));
    }
}
