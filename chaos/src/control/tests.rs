//! The checks against histories that are right, and against faults planted in them.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Chance, Mutant, Simulation, Values};
use crate::{History, Operation, Outcome, invariant, linearizability};

fn simulations_with(operations_a_key: std::ops::Range<u64>) -> impl Strategy<Value = Simulation> {
    let shape = (1..24_u64, 1..8_u64, operations_a_key);
    let shares = (0..30_u8, 0..10_u8, 0..20_u8);
    let values = prop::sample::select(vec![Values::Unique, Values::Few]);
    (any::<u64>(), shape, shares, values).prop_map(|(seed, (clients, keys, operations_a_key), shares, values)| {
        let (unknown_percent, refused_percent, delete_percent) = shares;
        let operations = usize::try_from(keys * operations_a_key).expect("a few hundred");
        Simulation { seed, clients, keys, operations, unknown_percent, refused_percent, delete_percent, values }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn a_correct_register_passes_every_check(simulation in simulations_with(1..100)) {
        let played = simulation.play();
        let report = linearizability::check(&played.history);
        prop_assert!(report.is_linearizable(), "{}", report);
        let violations = invariant::check(&played.history, played.healed_ns);
        prop_assert!(violations.is_empty(), "{}", violations[0]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn a_correct_register_is_never_called_wrong_however_many_operations_a_key_has(simulation in simulations_with(300..600)) {
        let report = linearizability::check_within(&simulation.play().history, 10_000);
        prop_assert!(report.violations.is_empty(), "{}", report);
    }
}

#[test]
fn a_simulation_can_be_had_again() {
    let simulation = simulations().next().expect("many");
    assert_eq!(simulation.play().history, simulation.play().history);
    let other = Simulation { seed: simulation.seed + 1, ..simulation };
    assert_ne!(simulation.play().history, other.play().history);
}

#[test]
fn simulated_clients_meet_everything_that_can_happen() {
    let simulation = Simulation { operations: 5000, keys: 50, ..simulations().next().expect("many") };
    let counts = simulation.play().history.counts();
    let least = [counts.reads, counts.writes, counts.rejected, counts.unknown, counts.refused].into_iter().min();
    assert!(least > Some(50), "{counts}");
}

/// With few and with many operations a key, with and without deletes and unknown outcomes.
fn simulations() -> impl Iterator<Item = Simulation> {
    (0..400).map(|seed| Simulation {
        seed,
        clients: 2 + seed % 9,
        keys: 6,
        operations: if seed % 3 == 0 { 60 } else { 240 },
        unknown_percent: if seed % 4 == 1 { 0 } else { 8 },
        refused_percent: 3,
        delete_percent: if seed % 2 == 0 { 6 } else { 0 },
        values: if seed % 5 == 4 { Values::Few } else { Values::Unique },
    })
}

/// Mutants by kind: how many were planted, and how many of these `sees` saw.
fn caught(mut sees: impl FnMut(Mutant, &super::Planted, u64) -> bool) -> BTreeMap<Mutant, (u32, u32)> {
    let mut caught = BTreeMap::new();
    for simulation in simulations() {
        let played = simulation.play();
        let mut chance = Chance::new(simulation.seed);
        for mutant in Mutant::ALL {
            if let Some(planted) = mutant.plant(&played.history, &mut chance) {
                let (all, seen) = caught.entry(mutant).or_insert((0, 0));
                *all += 1;
                *seen += u32::from(sees(mutant, &planted, played.healed_ns));
            }
        }
    }
    caught
}

#[test]
fn the_search_sees_every_planted_fault_at_its_key_and_nowhere_else() {
    let caught = caught(|_, planted, _| {
        let report = linearizability::check(&planted.history);
        report.undecided.is_empty() && report.violations.len() == 1 && report.violations[0].key == planted.key
    });
    for mutant in Mutant::ALL {
        let (planted, seen) = caught.get(&mutant).copied().unwrap_or_default();
        eprintln!("{mutant:?}: {seen} of {planted} seen");
        assert!(planted >= 50, "{mutant:?} was planted {planted} times only");
        assert_eq!(seen, planted, "{mutant:?}");
    }
}

#[test]
fn a_client_that_takes_unknown_for_refused_is_found_out() {
    let (mut wrong, mut seen) = (0, 0);
    for simulation in simulations() {
        let played = simulation.play();
        let refused = |operation: &Operation| match &operation.outcome {
            Outcome::Unknown { reason } => {
                Operation { outcome: Outcome::Refused { reason: reason.clone() }, ..operation.clone() }
            }
            _ => operation.clone(),
        };
        let history = History::new(played.history.operations().iter().map(refused)).expect("any action can be refused");
        wrong += u32::from(history != played.history);
        seen += u32::from(!linearizability::check(&history).is_linearizable());
    }
    eprintln!("{seen} of {wrong} such clients seen");
    // Where no unknown write happened, or nobody met it, there is nothing to be seen.
    assert!(wrong > 200 && seen * 10 > wrong * 7, "{seen} of {wrong}");
}

#[test]
fn a_contradiction_comes_down_to_a_few_answers() {
    let mut lengths = Vec::new();
    caught(|_, planted, _| {
        let violations = linearizability::check(&planted.history).violations;
        lengths.extend(violations.iter().map(|violation| violation.operations.len()));
        true
    });
    lengths.sort_unstable();
    let (middle, most) = (lengths[lengths.len() / 2], lengths[lengths.len() - 1]);
    eprintln!("answers shown: {middle} in the middle, {most} at the most, of {} contradictions", lengths.len());
    assert!(middle <= 3 && most <= 12, "{middle} in the middle, {most} at the most");
}

#[test]
fn the_invariants_see_every_fault_of_their_kind() {
    // A session that comes back is seen by the invariant only where it is there at the end.
    let own = |mutant: Mutant| match mutant {
        Mutant::NeverWritten => "reads show what was written",
        Mutant::LostWrite => "acknowledged writes survive",
        Mutant::StaleRead | Mutant::SwappedReads | Mutant::UpdatedTwice | Mutant::AppliedTwice => "versions rise",
        Mutant::Resurrection => "",
    };
    let caught = caught(|mutant, planted, healed_ns| {
        let violations = invariant::check(&planted.history, healed_ns);
        violations.iter().any(|violation| violation.promise == own(mutant) && violation.key == planted.key)
    });
    for mutant in Mutant::ALL.into_iter().filter(|&mutant| mutant != Mutant::Resurrection) {
        let (planted, seen) = caught.get(&mutant).copied().unwrap_or_default();
        eprintln!("{mutant:?}: {seen} of {planted} seen by the invariant {:?}", own(mutant));
        assert!(planted >= 50, "{mutant:?} was planted {planted} times only");
        assert_eq!(seen, planted, "{mutant:?}");
    }
}
