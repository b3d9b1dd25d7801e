//! What a client does next: mostly changes of what it knows, and looks.

use crate::Action;
use crate::control::Chance;

/// One action. `known`: the version that the client last saw of the key; `deletes`: whether sessions of this key end now and then.
pub(super) fn next(chance: &mut Chance, known: Option<u64>, deletes: bool, value: String) -> Action {
    let Some(version) = known else {
        // Nobody may have made it yet, or it ended.
        return if chance.percent(30) { Action::Get } else { Action::Create { value } };
    };
    match chance.below(100) {
        0..40 => Action::Get,
        40..45 => Action::Create { value },
        45..58 => Action::Update { expected_version: None, value },
        58..60 if deletes => Action::Delete { expected_version: None },
        60..63 if deletes => Action::Delete { expected_version: Some(version) },
        _ => Action::Update { expected_version: Some(version), value },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(known: Option<u64>, deletes: bool) -> Vec<Action> {
        let mut chance = Chance::new(7);
        (0..1000).map(|number| next(&mut chance, known, deletes, number.to_string())).collect()
    }

    #[test]
    fn a_client_that_knows_nothing_looks_or_creates() {
        let actions = drawn(None, true);
        assert!(actions.iter().all(|action| matches!(action, Action::Get | Action::Create { .. })));
    }

    #[test]
    fn a_client_that_knows_a_version_does_everything_and_deletes_only_where_it_may() {
        let count = |actions: &[Action], is: fn(&Action) -> bool| actions.iter().filter(|action| is(action)).count();
        let deletes: fn(&Action) -> bool = |action| matches!(action, Action::Delete { .. });
        let kept = drawn(Some(3), false);
        assert_eq!(count(&kept, deletes), 0);
        for kind in [
            (|action| *action == Action::Get) as fn(&Action) -> bool,
            |action| matches!(action, Action::Create { .. }),
            |action| matches!(action, Action::Update { expected_version: None, .. }),
            |action| matches!(action, Action::Update { expected_version: Some(3), .. }),
        ] {
            assert!(count(&kept, kind) > 20);
        }
        assert!(count(&drawn(Some(3), true), deletes) > 20);
    }
}
