//! Small histories by chance, right and wrong ones.

use proptest::prelude::*;

use crate::control::Register;
use crate::{Action, Operation, Outcome};

fn value() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned)
}

fn action() -> impl Strategy<Value = Action> {
    let expected = || prop::option::of(1..4_u64);
    prop_oneof![
        3 => Just(Action::Get),
        2 => value().prop_map(|value| Action::Create { value }),
        4 => (expected(), value()).prop_map(|(expected_version, value)| Action::Update { expected_version, value }),
        1 => expected().prop_map(|expected_version| Action::Delete { expected_version }),
    ]
}

/// An operation with an answer that may be right.
pub(crate) fn small_operation() -> impl Strategy<Value = Operation> {
    let times = (0..30_u64, 0..12_u64);
    (times, action(), 1..4_u64, value(), 0..5_u8).prop_map(|((invoked_ns, lasts), action, version, value, kind)| {
        let outcome = match (kind, &action) {
            (0, _) => Outcome::Unknown { reason: String::new() },
            (1, Action::Get | Action::Update { .. } | Action::Delete { .. }) => Outcome::Missing,
            (2, Action::Create { .. }) => Outcome::Exists { version },
            (2, Action::Update { expected_version: Some(_), .. } | Action::Delete { expected_version: Some(_) }) => {
                Outcome::VersionConflict { current: version }
            }
            (_, Action::Get) => Outcome::Found { version, value },
            (_, Action::Delete { .. }) => Outcome::Deleted,
            (_, Action::Create { .. }) => Outcome::Written { version: 1 },
            (_, Action::Update { expected_version, .. }) => {
                Outcome::Written { version: expected_version.map_or(version, |expected| expected + 1) }
            }
        };
        let completed_ns = invoked_ns + lasts;
        Operation { client: 1, key: "s".to_owned(), action, invoked_ns, completed_ns, outcome }
    })
}

/// Answered by a register in the order of the invocations but for two in `of`, and perhaps one answer exchanged for another.
pub(crate) fn nearly_right(of: u8, longest: usize) -> impl Strategy<Value = Vec<Operation>> {
    let disturbed = (any::<prop::sample::Index>(), small_operation());
    (prop::collection::vec((small_operation(), 0..of), 1..=longest), prop::option::of(disturbed)).prop_map(
        |(mut operations, disturbed)| {
            operations.sort_by_key(|(operation, _)| operation.invoked_ns);
            let mut register = Register::default();
            let mut answered: Vec<Operation> = operations
                .into_iter()
                .map(|(operation, fate)| match fate {
                    0 => Operation { outcome: Outcome::Unknown { reason: String::new() }, ..operation },
                    1 => {
                        register.apply(&operation.action);
                        Operation { outcome: Outcome::Unknown { reason: String::new() }, ..operation }
                    }
                    _ => Operation { outcome: register.apply(&operation.action), ..operation },
                })
                .collect();
            if let Some((place, other)) = disturbed {
                let place = place.index(answered.len());
                answered[place] = other;
            }
            answered
        },
    )
}
