//! Which unpacked projects make room for another one: those that nobody has, the one that was not asked for the longest first.

/// What is known of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) bytes: u64,
    /// When it was asked for last; a larger number is later.
    pub(super) used: u64,
    pub(super) in_use: bool,
    /// Nobody gets it any more.
    pub(super) spoiled: bool,
}

/// Even without all that could go there is not enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoRoom {
    /// What stays.
    pub(super) in_use: u64,
}

/// The positions of those that leave, in order, so that `needed` more fit into `limit`. Spoiled ones leave in any case.
pub(super) fn make_room(places: &[Place], needed: u64, limit: u64) -> Result<Vec<usize>, NoRoom> {
    let in_use: u64 = places.iter().filter(|place| place.in_use).map(|place| place.bytes).sum();
    if in_use.saturating_add(needed) > limit {
        return Err(NoRoom { in_use });
    }
    let mut idle: Vec<usize> = (0..places.len()).filter(|&position| !places[position].in_use).collect();
    idle.sort_by_key(|&position| (!places[position].spoiled, places[position].used));
    let mut total = places.iter().fold(needed, |sum, place| sum.saturating_add(place.bytes));
    let mut leaving: Vec<usize> = idle
        .into_iter()
        .take_while(|&position| {
            let goes = total > limit || places[position].spoiled;
            if goes {
                total -= places[position].bytes;
            }
            goes
        })
        .collect();
    leaving.sort_unstable();
    Ok(leaving)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(bytes: u64, used: u64, in_use: bool) -> Place {
        Place { bytes, used, in_use, spoiled: false }
    }

    #[test]
    fn the_one_that_was_not_asked_for_the_longest_goes_first() {
        let places = [place(10, 3, false), place(10, 1, false), place(10, 2, false)];
        assert_eq!(make_room(&places, 10, 40), Ok(vec![]));
        assert_eq!(make_room(&places, 10, 39), Ok(vec![1]));
        assert_eq!(make_room(&places, 10, 20), Ok(vec![1, 2]));
        assert_eq!(make_room(&places, 10, 10), Ok(vec![0, 1, 2]));
        assert_eq!(make_room(&places, 11, 10), Err(NoRoom { in_use: 0 }));
    }

    #[test]
    fn one_in_use_stays_and_a_spoiled_one_goes_as_soon_as_nobody_has_it() {
        let places = [place(10, 1, true), place(10, 2, false)];
        assert_eq!(make_room(&places, 10, 25), Ok(vec![1]));
        assert_eq!(make_room(&places, 16, 25), Err(NoRoom { in_use: 10 }));
        let spoiled = [Place { spoiled: true, ..place(10, 9, false) }, Place { spoiled: true, ..place(10, 1, true) }];
        assert_eq!(make_room(&spoiled, 1, 1000), Ok(vec![0]));
    }

    fn places() -> impl Strategy<Value = Vec<Place>> {
        let one = (0u64..100, any::<u8>(), any::<bool>(), proptest::bool::weighted(0.2));
        let one = one.prop_map(|(bytes, used, in_use, spoiled)| Place { bytes, used: used.into(), in_use, spoiled });
        proptest::collection::vec(one, 0..12)
    }

    proptest! {
        #[test]
        fn there_is_room_afterwards_and_none_in_use_has_gone(places in places(), needed in 0u64..200, limit in 0u64..600) {
            let stay = |leaving: &[usize]| -> Vec<Place> {
                (0..places.len()).filter(|position| !leaving.contains(position)).map(|position| places[position]).collect()
            };
            match make_room(&places, needed, limit) {
                Ok(leaving) => {
                    let kept = stay(&leaving);
                    prop_assert!(kept.iter().map(|place| place.bytes).sum::<u64>() + needed <= limit);
                    prop_assert!(leaving.iter().all(|&position| !places[position].in_use));
                    prop_assert!(!kept.iter().any(|place| place.spoiled && !place.in_use));
                    // Nobody leaves who was asked for later than one that stays.
                    let latest = leaving.iter().filter(|&&at| !places[at].spoiled).map(|&at| places[at].used).max();
                    let earliest = kept.iter().filter(|place| !place.in_use).map(|place| place.used).min();
                    prop_assert!(latest.zip(earliest).is_none_or(|(left, kept)| left <= kept));
                }
                Err(NoRoom { in_use }) => {
                    prop_assert!(in_use + needed > limit);
                    prop_assert_eq!(in_use, places.iter().filter(|place| place.in_use).map(|place| place.bytes).sum::<u64>());
                }
            }
        }
    }
}
