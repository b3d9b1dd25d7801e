//! Faults planted in the account of a run that came to what it should: what a cluster without one of its protections would have left.

use super::Chance;
use crate::evaluation::{Account, Execution};
use crate::promise::only_what_was_under_way_runs_again as repeats;

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
    /// Faults have executed again what they may have found under way, but far more of it than can have been under way at once.
    MoreThanUnderWay,
}

impl Miscount {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::NeverEnds,
        Self::OldGeneration,
        Self::Lost,
        Self::CountedTwice,
        Self::ExecutedAgain,
        Self::StartedAnew,
        Self::MoreThanUnderWay,
    ];

    /// The promise that it breaks.
    pub fn breaks(self) -> &'static str {
        match self {
            Self::NeverEnds => "runs finish",
            Self::OldGeneration => "results are those of one node",
            Self::Lost | Self::CountedTwice => "results count once",
            Self::ExecutedAgain | Self::StartedAnew | Self::MoreThanUnderWay => "only what was under way runs again",
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
            Self::MoreThanUnderWay => {
                let at_ns = account.executions.last()?.at_ns + 1;
                let anew = |(index, times)| std::iter::repeat_n(Execution { at_ns, index, process: 1 }, times);
                wrong.executions.extend(repeats::room(account).into_iter().flat_map(anew));
                // Many faults may have found much of it.
                (repeats::again(&wrong) > repeats::most_again(&wrong)).then_some(())?;
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

    /// 400 examples, ten a second, a fault after 200 of them that finds two under way, and both of those again.
    fn right() -> Account {
        let gist = Gist { score: Some(12.5), digest: "abcdef".to_owned(), failed: 1 };
        let execution = |index: u32, tenths: u64| Execution { at_ns: tenths * SECOND / 10, index, process: 7 };
        let mut executions: Vec<Execution> = (0..400).map(|index| execution(index, 1000 + u64::from(index))).collect();
        executions.extend([execution(198, 1230), execution(199, 1230)]);
        executions.sort();
        let recorded: BTreeSet<u32> = (0..198).collect();
        let fault = "kill node-1".to_owned();
        let disturbance = Disturbance { fault, began_ns: 120 * SECOND, ended_ns: 121 * SECOND, recorded };
        Account {
            run: "r".to_owned(),
            examples: 400,
            threads: 2,
            status: "finished".to_owned(),
            reason: String::new(),
            counted: (400, 1),
            duplicates: 1,
            gist: Some(gist.clone()),
            undisturbed: gist,
            results: (0..400).collect(),
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
    fn more_than_can_have_been_under_way_is_seen_though_each_example_by_itself_has_a_reason() {
        let planted = Miscount::MoreThanUnderWay.plant(&right(), &mut Chance::new(1)).expect("there is a place");
        let finding = repeats::check(&planted);
        assert_eq!(finding.broken.len(), 1, "only their number is wrong: {finding}");
        // As many as there were threads, once each, are no reason for complaint.
        let mut few = right();
        let at_ns = few.executions.last().expect("some").at_ns + 1;
        few.executions.extend((200..202).map(|index| Execution { at_ns, index, process: 8 }));
        assert!(repeats::check(&few).is_kept());
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
