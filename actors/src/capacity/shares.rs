//! Who gets a worker process of a node next, and who gives one back: decided here, over plain data.

use std::collections::BTreeMap;

use super::Claimant;

/// What somebody has and wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// At least 1.
    pub weight: u32,
    pub held: u32,
    pub waiting: u32,
    /// It may not have more.
    pub limit: u32,
}

impl Claim {
    fn wanted(&self) -> u32 {
        (self.held + self.waiting).min(self.limit)
    }
}

/// Whose part is the largest when as many places as there are go to those who want them, by weight, and nobody gets more than he
/// wants: weighted max-min fairness in whole places.
pub(crate) fn fair_shares(capacity: u32, claims: &BTreeMap<Claimant, Claim>) -> BTreeMap<Claimant, u32> {
    let mut shares: BTreeMap<Claimant, u32> = claims.keys().map(|&claimant| (claimant, 0)).collect();
    for _ in 0..capacity {
        let wants = claims.iter().filter(|(claimant, claim)| shares[claimant] < claim.wanted());
        // Of equals the one that came first: claimants are ordered by time.
        let Some((&next, _)) = wants.min_by_key(|(claimant, claim)| (ratio(shares[claimant] + 1, claim), **claimant))
        else {
            break;
        };
        *shares.entry(next).or_default() += 1;
    }
    shares
}

/// Who gets the next free place: the one of those who wait that would have least for its weight.
pub(crate) fn next(claims: &BTreeMap<Claimant, Claim>) -> Option<Claimant> {
    let waiting = claims.iter().filter(|(_, claim)| claim.waiting > 0 && claim.held < claim.limit);
    waiting.min_by_key(|(claimant, claim)| (ratio(claim.held + 1, claim), **claimant)).map(|(&claimant, _)| claimant)
}

/// Who is to give places back, and how many, so that those who wait come to their shares. Nobody gives more than he has beyond his
/// share, and nobody who wants nothing more is given anything.
pub(crate) fn to_give_back(capacity: u32, claims: &BTreeMap<Claimant, Claim>) -> BTreeMap<Claimant, u32> {
    let shares = fair_shares(capacity, claims);
    let held: u32 = claims.values().map(|claim| claim.held).sum();
    let short = |(claimant, claim): (&Claimant, &Claim)| shares[claimant].saturating_sub(claim.held).min(claim.waiting);
    let wanted: u32 = claims.iter().map(short).sum();
    // What is free now goes to those who wait anyway.
    let mut missing = wanted.saturating_sub(capacity.saturating_sub(held)).max(held.saturating_sub(capacity));
    let mut back = BTreeMap::new();
    let mut over: Vec<(u32, Claimant)> = claims
        .iter()
        .map(|(&claimant, claim)| (claim.held.saturating_sub(shares[&claimant]), claimant))
        .filter(|(beyond, _)| *beyond > 0)
        .collect();
    over.sort_unstable_by(|one, other| other.cmp(one));
    for (beyond, claimant) in over {
        let given = beyond.min(missing);
        if given > 0 {
            back.insert(claimant, given);
            missing -= given;
        }
    }
    back
}

/// Places for a unit of weight, in millionths.
fn ratio(places: u32, claim: &Claim) -> u64 {
    u64::from(places) * 1_000_000 / u64::from(claim.weight.max(1))
}

#[cfg(test)]
mod tests {
    use dspex_model::RunId;
    use proptest::prelude::*;

    use super::*;

    fn run(number: u128) -> Claimant {
        Claimant::Run(RunId(number))
    }

    fn claims(all: &[(u128, u32, u32, u32)]) -> BTreeMap<Claimant, Claim> {
        let claim = |&(number, weight, held, waiting)| (run(number), Claim { weight, held, waiting, limit: 64 });
        all.iter().map(claim).collect()
    }

    fn shares(capacity: u32, all: &[(u128, u32, u32, u32)]) -> Vec<u32> {
        fair_shares(capacity, &claims(all)).into_values().collect()
    }

    #[test]
    fn places_are_divided_by_weight_and_nobody_gets_more_than_he_wants() {
        assert_eq!(shares(4, &[(1, 1, 4, 0), (2, 1, 0, 4)]), [2, 2]);
        assert_eq!(shares(8, &[(1, 3, 8, 0), (2, 1, 0, 8)]), [6, 2]);
        assert_eq!(shares(8, &[(1, 1, 8, 0), (2, 1, 0, 1), (3, 1, 0, 8)]), [4, 1, 3]);
        assert_eq!(shares(2, &[(1, 1, 2, 0), (2, 1, 0, 2), (3, 1, 0, 2)]), [1, 1, 0]);
        assert_eq!(shares(9, &[(1, 1, 1, 1)]), [2]);
    }

    #[test]
    fn a_free_place_goes_to_the_one_that_has_least_for_its_weight() {
        assert_eq!(next(&claims(&[(1, 1, 2, 5), (2, 1, 1, 5), (3, 1, 0, 0)])), Some(run(2)));
        assert_eq!(next(&claims(&[(1, 4, 2, 5), (2, 1, 1, 5)])), Some(run(1)));
        assert_eq!(next(&claims(&[(1, 1, 0, 1), (2, 1, 0, 1)])), Some(run(1)), "the older one");
        assert_eq!(next(&claims(&[(1, 1, 2, 0)])), None);
    }

    #[test]
    fn a_run_gets_no_more_than_its_limit_however_much_is_free() {
        let limited = |held| BTreeMap::from([(run(1), Claim { weight: 1, held, waiting: 9, limit: 3 })]);
        assert_eq!(fair_shares(8, &limited(0)), BTreeMap::from([(run(1), 3)]));
        assert_eq!((next(&limited(2)), next(&limited(3))), (Some(run(1)), None));
        assert!(to_give_back(8, &limited(3)).is_empty());
    }

    #[test]
    fn a_run_with_everything_gives_back_what_another_one_waits_for() {
        let back = |capacity, all| to_give_back(capacity, &claims(all)).into_iter().collect::<Vec<_>>();
        assert_eq!(back(4, &[(1, 1, 4, 0), (2, 1, 0, 4)]), [(run(1), 2)]);
        assert_eq!(back(4, &[(1, 1, 4, 0), (2, 1, 0, 1)]), [(run(1), 1)]);
        assert_eq!(back(4, &[(1, 1, 2, 9), (2, 1, 2, 9)]), [], "both have their shares");
        assert_eq!(back(4, &[(1, 1, 3, 0), (2, 1, 0, 1)]), [], "one is free");
        assert_eq!(back(4, &[(1, 1, 4, 0)]), [], "nobody waits");
        assert_eq!(back(4, &[(1, 1, 4, 0), (2, 1, 1, 0)]), [(run(1), 1)], "one more than there are places");
    }

    proptest! {
        /// Whoever wants what: all places are used, and moving what is given back brings everybody to his share.
        #[test]
        fn giving_back_leads_to_the_fair_shares(
            capacity in 1u32..40,
            wants in proptest::collection::vec((1u32..5, 0u32..20, 0u32..20), 1..6),
        ) {
            let mut left = capacity;
            let mut all = Vec::new();
            for (number, (weight, held, waiting)) in wants.into_iter().enumerate() {
                let held = held.min(left);
                left -= held;
                all.push((number as u128, weight, held, waiting));
            }
            let claims = claims(&all);
            let shares = fair_shares(capacity, &claims);
            let wanted: u32 = claims.values().map(|claim| claim.held + claim.waiting).sum();
            prop_assert_eq!(shares.values().sum::<u32>(), wanted.min(capacity));
            let back = to_give_back(capacity, &claims);
            for (claimant, given) in &back {
                prop_assert!(claims[claimant].held - given >= shares[claimant]);
            }
            // One after the other, as it happens: in the end nobody waits below his share.
            let mut now = claims;
            for _ in 0..200 {
                let held: u32 = now.values().map(|claim| claim.held).sum();
                if held < capacity && let Some(next) = next(&now) {
                    let claim = now.get_mut(&next).expect("it claims");
                    claim.held += 1;
                    claim.waiting -= 1;
                } else if let Some((claimant, _)) = to_give_back(capacity, &now).pop_first() {
                    // Whoever gives way is replaced, and waits with the others.
                    let claim = now.get_mut(&claimant).expect("it claims");
                    claim.held -= 1;
                    claim.waiting += 1;
                } else {
                    break;
                }
            }
            for (claimant, claim) in &now {
                prop_assert!(claim.waiting == 0 || claim.held >= shares[claimant], "{claimant:?} {claim:?} {shares:?}");
            }
        }
    }
}
