//! An optional write that could be next, and whether another one would do as well at less cost.

use super::super::register::{State, Step, Value};

/// A write, and the state that it would make.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer {
    pub(super) place: usize,
    pub(super) step: Step,
    pub(super) after: State,
}

impl Offer {
    /// Whether this one makes the same state and would be worth less later: whatever it could do then, the other one
    /// can. An order with the other one in this place is an order still when the two change places.
    pub(super) fn outdoes(&self, other: &Self) -> bool {
        let ((expected, value), (other_expected, other_value)) = (parts(self.step), parts(other.step));
        // What fits one version is worth less than what fits any, a value that nobody saw less than one that somebody did.
        let narrower = expected == other_expected || other_expected.is_none();
        let plainer = value == other_value || value == Value::UNSEEN;
        self.after == other.after && narrower && plainer && (expected, value) != (other_expected, other_value)
    }
}

fn parts(step: Step) -> (Option<u64>, Value) {
    match step {
        Step::Create { value } => (None, value),
        Step::Update { expected, value } => (expected, value),
        Step::Delete { expected } => (expected, Value::UNSEEN),
        Step::Misses | Step::Meets { .. } | Step::Shows { .. } | Step::Never => (None, Value::UNSEEN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_write_that_is_worth_less_later_goes_first() {
        let after = State::Present { version: 4, value: Value::UNSEEN };
        let offer = |expected, value| Offer { place: 0, step: Step::Update { expected, value: Value(value) }, after };
        let (exact, plain, red, exact_red) = (offer(Some(3), 0), offer(None, 0), offer(None, 1), offer(Some(3), 1));
        assert!([plain, red, exact_red].iter().all(|other| exact.outdoes(other) && !other.outdoes(&exact)));
        assert!(plain.outdoes(&red) && exact_red.outdoes(&red) && !red.outdoes(&plain));
        assert!(!plain.outdoes(&exact_red) && !exact_red.outdoes(&plain), "each can do what the other cannot");
        assert!(!plain.outdoes(&plain));
        let seen = Offer { after: State::Present { version: 4, value: Value(1) }, ..red };
        assert!(!plain.outdoes(&seen), "it makes another state");
    }
}
